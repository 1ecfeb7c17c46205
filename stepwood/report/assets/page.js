"use strict";

/** The tabs of a page: the one that is open is in the address, behind `#`. */
class Tabs {
  /** `opened` is told the name of a tab when it opens. */
  constructor(opened) {
    this.opened = opened;
    this.tabs = [...document.querySelectorAll("[role=tab]")];
    for (const tab of this.tabs) tab.addEventListener("click", () => this.open(nameOf(tab)));
    document.getElementById("tabs").addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = this.tabs.at((this.tabs.indexOf(document.activeElement) + step) % this.tabs.length);
      this.open(nameOf(next));
      next.focus();
    });
  }

  open(name) {
    this.now = this.tabs.some((tab) => nameOf(tab) === name) ? name : nameOf(this.tabs[0]);
    for (const tab of this.tabs) {
      const chosen = nameOf(tab) === this.now;
      tab.setAttribute("aria-selected", chosen);
      tab.tabIndex = chosen ? 0 : -1;
      document.getElementById(`view-${nameOf(tab)}`).hidden = !chosen;
    }
    this.opened(this.now);
  }
}

const nameOf = (tab) => tab.id.slice("tab-".length);

/** What the address says behind `#`: `tab=steps&step=1a2b3c`. */
const readAddress = () => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));

function writeAddress(said) {
  const kept = Object.entries(said).filter(([, value]) => value);
  history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
}

/** A list that shows its first members, and the others when asked. */
function longList(members, draw, first = 12) {
  const list = element("ul", {}, ...members.slice(0, first).map((one) => element("li", {}, draw(one))));
  if (members.length > first) {
    const more = element("button", {
      type: "button",
      class: "link",
      onclick: () => {
        const place = list.children.length - 1;
        list.lastChild.remove();
        list.append(...members.slice(place, place + 500).map((one) => element("li", {}, draw(one))));
        if (list.children.length < members.length) list.append(item);
        item.firstChild.textContent = `${count(members.length - list.children.length + 1)} more`;
      },
    }, `${count(members.length - first)} more`);
    const item = element("li", {}, more);
    list.append(item);
  }
  return list;
}

/** Show what went wrong where the page itself fails. */
function sayFault(error) {
  const place = document.getElementById("loading");
  place.hidden = false;
  place.textContent = `This page cannot be shown: ${error.message}`;
  console.error(error);
}
