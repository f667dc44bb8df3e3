// What is asked for, in the address, so that it can be linked.

/** Whether the address can be changed: browsers forbid it to files. */
export const changeable = location.protocol !== "file:";

/** What the address asks for under a name; empty if nothing. */
export const asked = (name) => new URLSearchParams(location.search).get(name) ?? "";

/** Makes the address ask for `words`, `{name: text}`; what is empty is left out. The history stays as it is. */
export function ask(words) {
  if (!changeable) return;
  const address = new URL(location.href);
  for (const [name, text] of Object.entries(words)) {
    address.searchParams.delete(name);
    if (text !== "") address.searchParams.set(name, text);
  }
  if (address.href !== location.href) history.replaceState(history.state, "", address);
}
