"""Settles the open requests, and asks you where the policy says so."""

import json

import vak

with open("/requests.json") as file:
    requests = json.load(file)


def attempt(tool, **wish):
    try:
        print("  done:", vak.call(tool, **wish))
    except vak.Denied as denied:
        print("  denied:", denied)


for request in requests:
    order, amount = request["order"], request["amount"]
    customer = vak.call("lookup_order", order=order)["customer"]
    print(f"{order}: {amount} euros back to {customer}")
    attempt("refund", order=order, amount=amount)

print("\nA letter to Grace")
letter = "Dear Grace,\n\n240 euros are on their way.\n\nYour shop"
attempt("send_email", to="grace@example.com", text=letter)

print("\nA letter that is not what it seems: the hidden characters are marked")
attempt("send_email", to="grаce@example.com", text="Pay to \u202e71-A\u202c\u200b, please.")

print("\nA letter to everyone: no approval could allow that")
attempt("send_email", to="all", text="We are closed.")
