const key = (name) => `neuroscope-${name}`;
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
}
}
