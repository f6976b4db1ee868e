"""A program that means harm. Each attempt is in the log."""

import os
import time

import vak


def attempt(what, do, **wish):
    try:
        got = vak.call(do, **wish) if isinstance(do, str) else do()
        print(f"{what:20} GOT THROUGH: {got!r}")
    except Exception as error:
        print(f"{what:20} {type(error).__name__}: {error}")
    time.sleep(0.3)


print("Ask for what is forbidden")
attempt("  delete an account", "delete_account", name="Ada")
attempt("  … in capitals", "DELETE_ACCOUNT", name="Ada")
attempt("  mail everyone", "send_email", to="all", text="Hi!")

print("\nBend the input")
refund = {"do": "refund", "order": "B-04"}
attempt("  a little too much", **refund, amount=51)
attempt("  less than nothing", **refund, amount=-9000)
attempt("  claim a signature", **refund, amount=240, ok=True)
attempt("  pose as an entity", **refund, amount={"__entity": 1})

print("\nLeave the sandbox")
attempt("  read its host", lambda: open("/etc/passwd").read())
attempt("  start a shell", lambda: os.system("curl example.com"))
attempt("  open a socket", lambda: __import__("socket").socket())

print("\nTake small bites until somebody minds")
for bite in range(1, 30):
    try:
        vak.call("refund", order="B-04", amount=5)
    except vak.Error as error:
        print(f"  bite {bite}: {error.code}: {error}")
        break
    time.sleep(0.1)
