/** Writes a whole file of a directory handle (File System Standard): all of it or, where that fails, nothing. */
export async function writeTo(handle: FileSystemFileHandle, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  const stream = await handle.createWritable();
  try {
    await stream.write(bytes);
  } catch (cause) {
    await stream.abort().catch(() => {});
    throw cause;
  }
  await stream.close();
}
