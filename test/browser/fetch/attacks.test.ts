/** The fetch tool against programs, pages and servers that try to get around it. */
import { describe, expect, inject, test } from "vitest";
import { openBundle, verify } from "../../../src/audit/index.ts";
import { type FetchToolOptions, fetchTool } from "../../../src/fetch/index.ts";
import type { KernelOptions } from "../../../src/index.ts";
import { replay } from "../../../src/replay/index.ts";
import { loadGuest } from "../../guests/load.ts";
import { engine } from "../../setup/engine.ts";
import { type Answer, calls, entriesOf, testKernel } from "../../setup/kernel.ts";
import type { Seen } from "../../setup/web.ts";

const { good, evil } = inject("web");

const ALL = `@id("all") permit (principal, action, resource);`;
/** Assembled at run time, so that no scanner for keys finds one in this file. */
const KEY = `AKIA${"QYLPMN5HFIQR7XYA"}`;
const IBAN = "GB82WEST12345698765432";
const TOKEN = `Bearer s3cr3t/${"+token=0123456789"}`;

type Input = { url: string; method?: string } & Record<string, unknown>;

async function surfing(options: Partial<FetchToolOptions> = {}, more: KernelOptions = {}) {
  const allow = [{ origin: good, methods: ["GET", "POST", "PUT"] }];
  const kernel = await testKernel({ policy: ALL, tools: [fetchTool({ allow, ...options })], ...more });
  const program = await loadGuest("requests");
  const agent = await kernel.spawn({ name: "surfer", program });
  /** Makes requests in one run, and returns the answers. */
  const ask = (...inputs: Input[]): Promise<Answer[]> =>
    calls(agent, ...inputs.map((input) => ({ tool: "fetch", input: { method: "GET", ...input } })));
  return { kernel, agent, program, ask, [Symbol.asyncDispose]: () => kernel.close() };
}

/** A word that marks the requests of one test, so that it can ask which of them arrived. */
const word = () => `w${crypto.randomUUID().slice(0, 8)}`;

/** The requests with that word that a server received. */
async function seenBy(origin: string, word: string): Promise<Seen[]> {
  const seen: Seen[] = await (await fetch(`${origin}/seen`)).json();
  return seen.filter((request) => JSON.stringify(request).includes(word));
}

const errorOf = (answer: Answer | undefined) =>
  answer && "error" in answer ? answer.error : { code: "", message: "" };
const okOf = (answer: Answer | undefined) =>
  answer && "ok" in answer
    ? (answer.ok as { status: number; headers: Record<string, string>; body: string; encoding: string })
    : undefined;

test("an allowed request is made exactly as it was decided on, and the guest reads its answer", async () => {
  await using it = await surfing();
  const id = word();
  const [answer] = await it.ask({
    url: `${good.toUpperCase()}/a/../echo/${id}?b=ü#c`,
    method: "POST",
    headers: { accept: "text/x" },
    body: "hé",
  });
  const told = JSON.parse(okOf(answer)!.body);
  expect(okOf(answer)).toMatchObject({
    status: 200,
    headers: { "content-type": "application/json" },
    encoding: "utf-8",
  });
  expect(told).toMatchObject({ method: "POST", target: `/echo/${id}?b=%C3%BC`, body: "h\u00c3\u00a9" });
  expect(told.headers.accept).toBe("text/x");
  for (const name of ["cookie", "referer", "authorization"]) expect(told.headers[name]).toBeUndefined();
  expect(it.agent.labels).toEqual(["untrusted"]);
  const [intent] = await entriesOf(it.kernel, "intent");
  expect(await it.kernel.log.value(intent!.seq)).toMatchObject({ url: `${good}/echo/${id}?b=%C3%BC`, method: "POST" });
  expect(intent!.facts!.leaks).toEqual([]);
});

test("a replay matches the URLs that the guest wrote with the normalised ones in the log", async () => {
  await using it = await surfing();
  const id = word();
  await it.ask({ url: `${good.toUpperCase()}/./${id}` }, { url: `${evil}/${id}` }, { url: "nonsense" });
  const bundle = await openBundle(await it.kernel.log.export());
  expect(await verify(bundle)).toMatchObject({ ok: true, problems: [] });
  expect(await replay(bundle, 1, { program: it.program })).toMatchObject({ verdict: "same", divergence: null });
});

describe("attack: a URL that the policy and the browser read differently", () => {
  test("it is normalised or refused before the decision", async () => {
    await using it = await surfing();
    const id = word();
    const { host } = new URL(evil);
    const urls = [
      `${good}@${host}/${id}`,
      `${good.replace("http://", "http://evil@")}/${id}`,
      `http:\\\\${host}/${id}`,
      `http://${host}/${id}`.replace("localhost", "LOCALHOST"),
      `${evil}./${id}`,
      `ht\ntp://${host}/${id}`,
      `//${host}/${id}`,
      `/${id}`,
      `data:text/plain,${id}`,
      `javascript:${id}`,
      `blob:${good}/${id}`,
      `file:///${id}`,
      `ws://${new URL(good).host}/${id}`,
    ];
    const answers = await it.ask(...urls.map((url) => ({ url })));
    for (const [i, answer] of answers.entries())
      expect([urls[i], errorOf(answer).code]).toEqual([urls[i], "invalid-input"]);
    expect(await seenBy(evil, id)).toEqual([]);
    expect(await seenBy(good, id)).toEqual([]);
    const denials = await entriesOf(it.kernel, "denial");
    expect(denials.map(({ reason }) => reason)).toEqual(urls.map(() => "invalid-input"));
  });

  test("a path that leaves the prefix, as a browser or a server reads it, is refused", async () => {
    await using it = await surfing({
      allow: [
        { origin: good, pathPrefix: "/v1/" },
        { origin: good, pathPrefix: "/one" },
      ],
    });
    const id = word();
    const paths = [
      "/v1/../",
      "/v1/%2e%2e/",
      "/v1/..%2f",
      "/v1/%2e%2e%2f",
      "/v1/..%5c",
      "/v1/..\\",
      "/v1/%252e%252e/",
      "/v1/..;/",
      "/v1",
      "/v10/",
      "/V1/",
      "/one1/",
      "/",
    ];
    for (const answer of await it.ask(...paths.map((path) => ({ url: `${good}${path}${id}` })))) {
      expect(errorOf(answer).code).toBe("invalid-input");
    }
    expect(await seenBy(good, id)).toEqual([]);
    const within = ["/v1/a", "/v1/a/../b", "/v1//c", "/one/d", "/one"];
    for (const answer of await it.ask(...within.map((path) => ({ url: `${good}${path}?${id}` })))) {
      expect(okOf(answer)?.status).toBe(200);
    }
    expect((await seenBy(good, id)).map(({ target }) => target.replace(`?${id}`, ""))).toEqual([
      "/v1/a",
      "/v1/b",
      "/v1//c",
      "/one/d",
      "/one",
    ]);
  });

  test("private addresses, in every spelling, and names that are not public are refused", async () => {
    await using it = await surfing({ allow: [{ origin: "https://*" }, { origin: "https://*.example.com" }] });
    const hosts = [
      ...[
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0x7f.1",
        "127.0.0.1.",
        "①②⑦.⓪.⓪.①",
        "0",
        "0.0.0.0",
      ],
      ...["10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "8.8.8.8"],
      ...[
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[fe80::1]",
        "[fd00::1]",
        "[64:ff9b::7f00:1]",
        "[0:0:0:0:0:0:0:1]",
      ],
      ...[
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "printer.local",
        "Printer.LOCAL.",
        "metadata.google.internal",
      ],
      ...[
        "router.lan",
        "nas.home",
        "router.home.arpa",
        "intranet",
        "wiki.corp",
        "x.onion",
        "x.test",
        "x.invalid",
        "localhost.localdomain",
      ],
      ...[
        "public.example:8443",
        "example.com@127.0.0.1",
        "127.0.0.1%2f.example.com",
        "127.0.0.1\\.example.com",
        "127.0.0.1#.example.com",
        "127.0.0.1?.example.com",
      ],
    ];
    const answers = await it.ask(...hosts.map((host) => ({ url: `https://${host}/` })));
    for (const [i, answer] of answers.entries())
      expect([hosts[i], errorOf(answer).code]).toEqual([hosts[i], "invalid-input"]);
  });
});

describe("attack: redirects", () => {
  test("a redirect of any status, to any origin, is not followed", async () => {
    await using it = await surfing();
    const id = word();
    const to = (status: number, url: string) => ({
      url: `${good}/redirect?status=${status}&to=${encodeURIComponent(url)}&${id}`,
    });
    const answers = await it.ask(
      ...[301, 302, 303, 307, 308].flatMap((status) => [
        to(status, `${evil}/${id}`),
        to(status, `${good}/${id}`),
        { ...to(status, `${evil}/${id}`), method: "POST", body: "a" },
      ]),
    );
    for (const answer of answers)
      expect(errorOf(answer)).toMatchObject({ code: "tool-error", message: expect.stringMatching(/^redirect: /) });
    expect(await seenBy(evil, id)).toEqual([]);
    expect((await seenBy(good, id)).filter(({ target }) => !target.startsWith("/redirect"))).toEqual([]);
    // The request was made: the log has it, and that it failed.
    expect(await entriesOf(it.kernel, "outcome")).toMatchObject(
      answers.map(() => ({ status: "error", error: "tool-error" })),
    );
  });
});

describe("attack: an endless answer", () => {
  test("a body with more bytes than allowed, endless or packed, is cut off", async () => {
    await using it = await surfing({ maxBytes: 1000 });
    const [endless, bomb, most, more] = await it.ask(
      { url: `${good}/endless` },
      { url: `${good}/bomb` },
      { url: `${good}/bytes?n=1000` },
      { url: `${good}/bytes?n=1001` },
    );
    for (const answer of [endless, bomb, more]) {
      expect(errorOf(answer)).toMatchObject({
        code: "tool-error",
        message: "size-limit: The answer has more than 1000 bytes.",
      });
    }
    expect(okOf(most)?.body).toHaveLength(1000);
  });

  test("an answer that trickles, or never begins, is cut off", async () => {
    await using it = await surfing({ timeoutMs: 400 });
    for (const answer of await it.ask({ url: `${good}/drip` }, { url: `${good}/silent` })) {
      expect(errorOf(answer)).toMatchObject({
        code: "tool-error",
        message: "time-limit: The answer was not complete within 400 ms.",
      });
    }
  });

  test("a stopped run does not wait for its answer", async () => {
    await using it = await surfing();
    const id = word();
    const line = JSON.stringify({ tool: "fetch", input: { url: `${good}/silent?${id}`, method: "GET" } });
    const run = it.agent.run({ stdin: `${line}\n` });
    await expect.poll(() => seenBy(good, id)).toHaveLength(1);
    run.stop();
    expect((await run.result).status).toBe("stopped");
    expect(await entriesOf(it.kernel, "outcome")).toMatchObject([{ status: "unknown" }]);
  });
});

describe("attack: headers", () => {
  test("a guest can send only listed headers, and none that hides another", async () => {
    await using it = await surfing();
    const id = word();
    const headers = [
      { cookie: id },
      { authorization: id },
      { host: id },
      { Accept: id },
      { "x-http-method-override": id },
      { accept: `${id}\r\nx-evil: 1` },
      { accept: ` ${id}` },
      { accept: `${id}\u0000` },
      { accept: `${id}é` },
    ];
    for (const answer of await it.ask(...headers.map((headers) => ({ url: `${good}/`, headers })))) {
      expect(errorOf(answer).code).toBe("invalid-input");
    }
    expect(await seenBy(good, id)).toEqual([]);
  });

  test("a guest can read only listed headers", async () => {
    await using plain = await surfing();
    expect(okOf((await plain.ask({ url: `${good}/headers` }))[0])?.headers).toEqual({
      "content-type": "text/plain; charset=utf-8",
    });
    await using listed = await surfing({ responseHeaders: ["x-other", "set-cookie", "x-none"] });
    expect(okOf((await listed.ask({ url: `${good}/headers` }))[0])?.headers).toEqual({ "x-other": "other" });
  });
});

describe("secrets of the host", () => {
  const options = {
    allow: [{ origin: good }, { origin: evil }],
    responseHeaders: ["x-echo"],
    secrets: [{ origin: good, header: "authorization", value: async () => TOKEN }],
  };

  test("attack: one that a server repeats in any encoding reaches neither the guest nor the log, and no other server gets it", async () => {
    await using it = await surfing(options);
    const id = word();
    const answers = await it.ask(
      { url: `${good}/secrets?${id}` },
      { url: `${good}/secrets?binary&${id}` },
      { url: `${good}/headers?${id}` },
      { url: `${good}/echo?${id}` },
      { url: `${evil}/echo?${id}` },
    );
    expect((await seenBy(good, id)).map(({ headers }) => headers.authorization)).toEqual([TOKEN, TOKEN, TOKEN, TOKEN]);
    expect((await seenBy(evil, id)).map(({ headers }) => headers.authorization)).toEqual([undefined]);
    expect(okOf(answers[2])?.headers).toEqual({ "x-echo": "you sent REDACTED" });
    expect(okOf(answers[0])?.body.match(/REDACTED/g)).toHaveLength(9);

    const bytes = new Uint8Array(await (await it.kernel.log.export()).arrayBuffer());
    const bundle = await openBundle(new Blob([bytes]));
    let kept = JSON.stringify(answers);
    for (const path of await bundle.paths()) kept += new TextDecoder("latin1").decode(await bundle.read(path, 1e8));
    const secret = TOKEN.slice("Bearer ".length);
    const core = (text: string) => text.slice(4, -4);
    for (const form of [
      secret,
      encodeURIComponent(secret),
      core(btoa(secret)),
      core(btoa(`a${secret}`)),
      core(btoa(`ab${secret}`)),
    ]) {
      expect(kept.toLowerCase()).not.toContain(form.toLowerCase());
    }
  });

  test("one that cannot be provided stops the request, and the guest does not learn why", async () => {
    const value = () => Promise.reject(new Error("vault 7 is closed"));
    await using it = await surfing({ ...options, secrets: [{ origin: good, header: "authorization", value }] });
    const id = word();
    const [answer] = await it.ask({ url: `${good}/?${id}` });
    expect(errorOf(answer)).toEqual({
      code: "tool-error",
      message: "secret: The host could not provide the secret that this request needs.",
    });
    expect(await seenBy(good, id)).toEqual([]);
  });
});

describe("attack: exfiltration", () => {
  const POLICY = `${ALL} @id("no-leaks") forbid (principal, action == Action::"call:fetch", resource) unless { context.vak.leaks.isEmpty() };`;
  const key = KEY;
  const ways: [string, (id: string) => Input][] = [
    ["by path", (id) => ({ url: `${good}/${id}/${key}` })],
    ["by query", (id) => ({ url: `${good}/${id}?q=${key}` })],
    [
      "by query, every letter encoded",
      (id) => ({ url: `${good}/${id}?q=${[...key].map((c) => `%${c.charCodeAt(0).toString(16)}`).join("")}` }),
    ],
    ["by header", (id) => ({ url: `${good}/${id}`, headers: { accept: `text/${key}` } })],
    ["by body", (id) => ({ url: `${good}/${id}`, method: "POST", body: `my key: ${key}` })],
    [
      "in base64",
      (id) => ({ url: `${good}/${id}`, method: "POST", body: JSON.stringify({ image: btoa(`xx ${key}`) }) }),
    ],
    [
      "in base64 in base64 in the path",
      (id) => ({ url: `${good}/${id}/${btoa(btoa(`xx ${key}`)).replaceAll("=", "")}` }),
    ],
    [
      "as bytes",
      (id) => ({ url: `${good}/${id}`, method: "POST", body: btoa(`\u0001\u0002${key}\u00ff`), encoding: "base64" }),
    ],
    ["an IBAN", (id) => ({ url: `${good}/${id}?to=${IBAN}` })],
  ];

  test("by path, query, header or body, plain or encoded", async () => {
    await using it = await surfing({}, { policy: POLICY });
    const id = word();
    const fine = { url: `${good}/fine/${id}`, method: "POST", body: "nothing to hide" };
    const answers = await it.ask(...ways.map(([, make]) => make(id)), fine);
    for (const [i, [way]] of ways.entries()) expect([way, errorOf(answers[i]).code]).toEqual([way, "denied"]);
    expect(okOf(answers.at(-1))?.status).toBe(200);
    expect((await seenBy(good, id)).map(({ target }) => target)).toEqual([`/fine/${id}`]);
    for (const denial of await entriesOf(it.kernel, "denial")) {
      expect(denial).toMatchObject({ reason: "forbidden", policies: ["no-leaks"] });
      expect(denial.facts!.leaks).not.toEqual([]);
    }
  });

  test("packed with gzip", async () => {
    await using it = await surfing({}, { policy: POLICY });
    const id = word();
    const packed = new Blob([`a log\n`.repeat(50), key]).stream().pipeThrough(new CompressionStream("gzip"));
    const bytes = new Uint8Array(await new Response(packed).arrayBuffer());
    const body = btoa(String.fromCharCode(...bytes));
    const answers = await it.ask(
      { url: `${good}/${id}`, method: "POST", body, encoding: "base64" },
      { url: `${good}/${id}`, method: "POST", body },
    );
    for (const answer of answers) expect(errorOf(answer).code).toBe("denied");
    expect(await seenBy(good, id)).toEqual([]);
  });

  test("by host names", async () => {
    await using it = await surfing({ allow: [{ origin: "https://*.example.com" }] }, { policy: POLICY });
    const hex = [...`key ${key}`].map((c) => c.charCodeAt(0).toString(16)).join("");
    const hosts = [
      `${hex.slice(0, 60)}.example.com`,
      `${hex.slice(0, 24)}.${hex.slice(24)}.example.com`,
      "mzxw6ytboi2gk3tfon2gk4tfmq4tqmrs.example.com",
      `${IBAN}.example.com`,
    ];
    const answers = await it.ask(...hosts.map((host) => ({ url: `https://${host}/` })));
    for (const [i, answer] of answers.entries()) expect([hosts[i], errorOf(answer).code]).toEqual([hosts[i], "denied"]);
  });

  test("in chunks over several requests", async () => {
    await using it = await surfing({}, { policy: POLICY });
    const id = word();
    const [head, tail] = [key.slice(0, 9), key.slice(9)];
    const post = { url: `${good}/${id}`, method: "POST" };
    const answers = await it.ask(
      { url: `${good}/${id}?q=${head}` },
      { url: `${good}/${id}?q=${tail}` },
      { ...post, body: `x ${head}` },
      { ...post, body: `${tail} y` },
      { ...post, headers: { accept: head } },
      { ...post, headers: { accept: tail } },
    );
    expect(answers.map((answer) => errorOf(answer).code)).toEqual(["", "denied", "", "denied", "", "denied"]);
    // Another run has sent nothing yet.
    expect(okOf((await it.ask({ ...post, body: `${tail} y` }))[0])?.status).toBe(200);
  });

  test("the policy says whether a leak is denied, asked about or removed", async () => {
    const policy = `
      @id("clean") permit (principal, action == Action::"call:fetch", resource) when { context.vak.leaks.isEmpty() };
      @id("asked") permit (principal, action == Action::"call:fetch", resource)
      when { context.vak.leaks == ["email"] && context.vak.approved };
      @id("no-keys") forbid (principal, action == Action::"call:fetch", resource) when { context.vak.leaks.contains("key") };
      @id("no-ibans") @redact
      forbid (principal, action == Action::"call:fetch", resource) when { context.vak.leaks.contains("iban") };
    `;
    const asked: unknown[] = [];
    const onApproval = ({ input }: { input: unknown }) => {
      asked.push((input as Input).body);
      return { approve: true, by: "ann" };
    };
    await using it = await surfing({}, { policy, onApproval });
    const id = word();
    const post = (body: string) => ({ url: `${good}/${id}`, method: "POST", body });
    const answers = await it.ask(
      post("nothing"),
      post(`the key is ${key}`),
      post(`pay to ${IBAN}, or to ${btoa(`account ${IBAN}`)} please`),
      post("ask ann@mail.example.com"),
      post(`${key} ${IBAN}`),
      { url: `${good}/${id}/${IBAN}?to=${IBAN}`, headers: { accept: IBAN } },
      { ...post(btoa(`pay to ${IBAN}`)), encoding: "base64" },
    );
    expect(answers.map((answer) => errorOf(answer).code)).toEqual(["", "denied", "", "", "denied", "", "denied"]);
    expect(asked).toEqual(["ask ann@mail.example.com"]);
    expect((await seenBy(good, id)).map(({ target, body }) => body || target)).toEqual([
      "nothing",
      "pay to REDACTED, or to REDACTED please",
      "ask ann@mail.example.com",
      `/${id}/REDACTED?to=REDACTED`,
    ]);
    const intents = await entriesOf(it.kernel, "intent");
    expect(intents.map(({ redacted }) => redacted)).toEqual([undefined, ["iban"], undefined, ["iban"]]);
    expect(intents[1]!.facts!.leaks).toEqual([]);

    const bundle = await openBundle(await it.kernel.log.export());
    expect(await verify(bundle)).toMatchObject({ ok: true, problems: [] });
    expect(await replay(bundle, 1, { program: it.program })).toMatchObject({ verdict: "same", divergence: null });
    const { decision } = await it.kernel.policy.explain({
      agent: it.agent,
      tool: "fetch",
      input: { method: "GET", url: `${good}/${key}` },
    });
    expect(decision).toBe("deny");
  });

  test("nothing is sent if the search itself fails", async () => {
    const tool = fetchTool({ allow: [{ origin: good }] });
    const { defineTool } = await import("../../../src/index.ts");
    for (const leaks of [
      () => Promise.reject(new Error("no")),
      () => ({ kinds: "key" }),
      () => undefined,
      () => ({ kinds: ["A B"] }),
    ]) {
      const broken = defineTool({ ...tool, leaks: leaks as never });
      await using it = await surfing({}, { tools: [broken] });
      const id = word();
      expect(errorOf((await it.ask({ url: `${good}/${id}` }))[0]).code).toBe("denied");
      expect(await seenBy(good, id)).toEqual([]);
      expect((await entriesOf(it.kernel, "denial"))[0]).toMatchObject({ reason: "policy-unavailable" });
    }
  });
});

test("a large binary body arrives unchanged", async () => {
  await using it = await surfing({ maxBytes: 2 ** 20 });
  const id = word();
  const body = btoa("\u0001\u00ff\u0080".repeat(12_000));
  const [answer] = await it.ask({ url: `${good}/${id}`, method: "PUT", body, encoding: "base64" });
  expect(okOf(answer)?.status).toBe(200);
  expect((await seenBy(good, id))[0]!.body).toBe("\u0001\u00ff\u0080".repeat(12_000));
});

test("the browser requests exactly the URL that was decided on, with any characters in it", async () => {
  await using it = await surfing();
  const id = word();
  const odd = [
    "/a b",
    "/a|b",
    "/a^b",
    "/a'b",
    '/a"b',
    "/a{b}",
    "/a[b]",
    "/a`b",
    "/a<b>",
    "/ü",
    "/a%zz",
    "/a%",
    "/a\\b",
    "/a;b=c",
    "/~a!$&()*+,",
    "/a?b c|^'\"{}[]`<>ü%zz\\'",
    "/a//b/./c/../d",
  ];
  const inputs = odd.map((path) => ({ url: `${good}/${id}${path}` }));
  const answers = await it.ask(...inputs);
  const values = [];
  for (const { seq } of await entriesOf(it.kernel, "intent")) {
    values.push(((await it.kernel.log.value(seq)) as Input).url.slice(good.length));
  }
  expect(values).toHaveLength(odd.length);
  expect(answers.map((answer) => JSON.parse(okOf(answer)!.body).target)).toEqual(values);
  expect(engine).not.toBe("node");
});
