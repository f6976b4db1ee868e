"""What a script may do that could be another thing elsewhere: prints what it saw."""
import datetime, hashlib, json, math, os, random, sqlite3, statistics, struct, sys, tempfile, time, uuid
from collections import Counter, OrderedDict
from decimal import Decimal
from fractions import Fraction

# Files
os.makedirs("/data/deep/er", exist_ok=True)
for n in range(20):
    with open(f"/data/deep/{n}.txt", "w") as file:
        file.write(f"{n}\n" * n)
os.rename("/data/deep/3.txt", "/data/deep/er/three.txt")
os.remove("/data/deep/4.txt")
for folder, folders, files in sorted(os.walk("/data")):
    print(folder, sorted(folders), sorted(files))
print(os.listdir("/data/deep"), os.stat("/data/deep/7.txt"))

# JSON, hashing
value = {"é": [1, 2.5, None, True, {"z": "\u2603"}], "n": 10**30}
text = json.dumps(value, sort_keys=True)
print(text, json.loads(text) == value)
for name in ("md5", "sha1", "sha256", "sha3_256", "blake2b"):
    print(name, hashlib.new(name, text.encode()).hexdigest())
print(hash("a string"), hash(b"bytes"), hash((1, "two", 3.0)), id(None) == id(None))

# Floats
nan = float("nan")
operands = [0.0, -0.0, 1.5, -2.5, 1e308, 5e-324, math.inf, -math.inf, nan, math.pi]
bits = hashlib.sha256()
for x in operands:
    for y in operands:
        for operation in (lambda: x + y, lambda: x * y, lambda: x - y, lambda: x / y, lambda: x**y, lambda: math.fmod(x, y), lambda: math.atan2(x, y), lambda: math.sin(x) * math.exp(y)):
            try:
                result = operation()
                bits.update(struct.pack("<d", result) if isinstance(result, float) else repr(result).encode())
            except (ArithmeticError, ValueError) as error:
                bits.update(type(error).__name__.encode())
print(bits.hexdigest(), repr(math.sin(1e22)), statistics.stdev([1.1, 2.2, 3.3]), Decimal(1) / 7, Fraction(1, 3) + Fraction(1, 6))

# Sets and dicts: their order follows from hashes of strings
words = {f"word{n}" for n in range(50)}
print(list(words)[:10], list({w: i for i, w in enumerate(words)})[:5], Counter("mississippi"), OrderedDict(b=1, a=2))

# Random numbers, time
print(random.random(), random.sample(range(100), 5), os.urandom(8).hex(), uuid.uuid4())
print(time.time(), time.monotonic() > 0, time.perf_counter_ns() > 0, datetime.datetime.now(), time.strftime("%c"))
time.sleep(0.25)
print(time.time(), time.process_time() > 0)
with tempfile.TemporaryDirectory(dir="/") as folder:
    print(folder)

# SQLite
database = sqlite3.connect("/data/base.db")
database.execute("create table t (id integer primary key, name text, x real)")
database.executemany("insert into t (name, x) values (?, ?)", [(w, math.sqrt(i)) for i, w in enumerate(sorted(words))])
database.commit()
print(database.execute("select count(*), sum(x), max(name), abs(random()) % 1000, datetime('now') from t").fetchone())
database.close()
print(sys.version, sys.getsizeof({}), sys.flags.hash_randomization)
