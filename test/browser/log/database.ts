/** A log's database, as another tab or a tool has it. */

export function raw(name: string): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(`vak:log:${name}`);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

export function done(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
}

/** All that is in it. */
export async function recordsOf(db: IDBDatabase): Promise<[store: string, key: IDBValidKey, value: unknown][]> {
  const records: [store: string, key: IDBValidKey, value: unknown][] = [];
  const reading = db.transaction(db.objectStoreNames);
  for (const store of db.objectStoreNames) {
    reading.objectStore(store).openCursor().onsuccess = (event) => {
      const cursor = (event.target as IDBRequest<IDBCursorWithValue | null>).result;
      if (!cursor) return;
      records.push([store, cursor.key, cursor.value]);
      cursor.continue();
    };
  }
  await done(reading);
  return records;
}
