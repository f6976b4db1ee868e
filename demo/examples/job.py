"""The shop's night shift: settles the open requests."""

import json
import time

import vak

with open("/requests.json") as file:
    requests = json.load(file)
print(len(requests), "requests tonight\n")

report = {"refunded": 0, "left to people": []}

for request in requests:
    order, amount = request["order"], request["amount"]
    item = vak.call("lookup_order", order=order)["item"]
    print(f"{order}  {item}: {amount} euros back")
    time.sleep(0.5)
    try:
        vak.call("refund", order=order, amount=amount)
        report["refunded"] += amount
        print("      refunded")
    except vak.Denied as denied:
        print("      denied:", denied)
        vak.call("add_note", text=f"{order}: please decide")
        report["left to people"].append(order)
    time.sleep(0.5)

# No policy permits these. Watch the shop: nothing changes.
for tool, wish in [
    ("delete_account", {"name": "Ada"}),
    ("send_email", {"to": "all", "text": "We are closed."}),
]:
    try:
        vak.call(tool, **wish)
    except vak.Denied as denied:
        print(f"{tool}: {denied}")
    time.sleep(0.5)

unsettled = report["left to people"]
vak.call("set_lamp", color="amber" if unsettled else "green")

with open("/report.json", "w") as file:
    json.dump(report, file, indent=2)
print("\n/report.json", open("/report.json").read())
