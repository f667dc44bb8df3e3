// Choices of a reader, kept from page to page where the browser lets them be kept.

const key = (name) => `neuroscope-${name}`;

/** What was chosen under a name; null if nothing was, or nothing is kept. */
export function recall(name) {
  try {
    return localStorage.getItem(key(name));
  } catch {
    return null;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(key(name), value);
  } catch {
    // forbidden: the choice holds for this page only
  }
}
