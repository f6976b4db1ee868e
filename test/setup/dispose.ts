// WebKitGTK 2.50 has not these symbols, which `await using` in the tests needs. A page there writes `close()`.
for (const name of ["dispose", "asyncDispose"] as const) {
  if (!Symbol[name]) Object.defineProperty(Symbol, name, { value: Symbol.for(`Symbol.${name}`) });
}
