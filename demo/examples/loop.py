"""Never ends by itself. Press Stop, or Esc."""

import vak

vak.call("set_lamp", color="amber")

n = 0
while True:
    n += 1
    if n % 1_000_000 == 0:
        print(f"{n:,} turns, and not done yet")
