/**
 * The symbols of explicit resource management, which `await using` in the tests needs and WebKitGTK 2.50 lacks. Pages
 * that support it call `close()` instead.
 */
for (const name of ["dispose", "asyncDispose"] as const) {
  if (!Symbol[name]) Object.defineProperty(Symbol, name, { value: Symbol.for(`Symbol.${name}`) });
}
