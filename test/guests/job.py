"""The job of the demo and of the end-to-end tests: files, json, a tool that is allowed and one that is not."""

import json
import sys

import vak

with open("/in.json") as file:
    order = json.load(file)
print("order:", json.dumps(order, sort_keys=True), flush=True)

total = vak.call("add", a=order["a"], b=order["b"])
print("add:", total, flush=True)

try:
    vak.call("wipe", path="/")
    print("wipe: allowed")
    sys.exit(1)
except vak.Denied as error:
    print("wipe: denied:", error, flush=True)

with open("/result.json", "w") as file:
    json.dump({"total": total}, file)
print("done")
