"""`stepwood opam`: package sets of opam repositories, solved, planned, built, and what became of them."""

from __future__ import annotations

import click

from stepwood.commands.packages.bisecting import bisect
from stepwood.commands.packages.jobs import build, plan, spec
from stepwood.commands.packages.outcomes import compare, results_
from stepwood.commands.packages.solving import dedup, solve
from system.errors import InputError, did_you_mean


class _Group(click.Group):
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = super().get_command(ctx, cmd_name)
        if command is None:
            hint = did_you_mean(cmd_name, [*self.commands], "`stepwood opam --help` lists the commands")
            raise InputError(f'there is no command "opam {cmd_name}"', hint=hint)
        return command


@click.group(cls=_Group)
def opam() -> None:
    """Solve, plan and build package sets of opam repositories."""


for command in (solve, dedup, spec, plan, build, results_, compare, bisect):
    opam.add_command(command)
