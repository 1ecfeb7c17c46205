#include "greet.h"

int main(void) {
    greet("Stepwood");
    return 0;
}
