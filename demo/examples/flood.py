"""Writes until it is stopped: the limit for a run is 256 KiB."""

line = "All work and no play makes Jack a dull boy. "

n = 0
while True:
    n += 1
    print(f"{n:6} {line}")
