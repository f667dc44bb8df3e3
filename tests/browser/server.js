// A static file host as strict as a real one can be: a sub-path, and a content policy without exceptions.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { gzipSync } from "node:zlib";

const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".json": "application/json", ".svg": "image/svg+xml", ".xml": "application/xml", ".txt": "text/plain" };

/**
 * `published`: compressed, and cached for ten minutes, as GitHub Pages does it. `unpacks`: files in gzip are sent as if the host had packed them.
 * `plain`: its own words in place of 404.html. `changed` may answer with other bytes in place of those of a file, by its path in the site.
 */
export async function serve(folder, base, { published = false, unpacks = false, plain = false, changed = (_, bytes) => bytes } = {}) {
  const packed = new Map();
  const pack = (file, bytes) => packed.get(file) ?? packed.set(file, gzipSync(bytes)).get(file);
  const server = createServer(async (request, response) => {
    const headers = { "content-security-policy": "default-src 'self'", ...(published && { "cache-control": "max-age=600" }) };
    let path = decodeURIComponent(new URL(request.url, "http://host").pathname);
    const send = async (status, file) => {
      const bytes = changed(path.slice(base.length), await readFile(file));
      const type = TYPES[extname(file)];
      const packs = published && type;
      if (unpacks && file.endsWith(".gz")) headers["content-encoding"] = "gzip";
      response.writeHead(status, { ...headers, ...(packs && { "content-encoding": "gzip" }), "content-type": type ?? "application/octet-stream" });
      response.end(packs ? pack(file, bytes) : bytes);
    };
    try {
      if (!path.startsWith(base)) throw new Error("outside the sub-path");
      if (path.endsWith("/")) path += "index.html";
      await send(200, join(folder, normalize(path.slice(base.length))));
    } catch {
      if (plain) response.writeHead(404, headers).end("no such file");
      else await send(404, join(folder, "404.html"));
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { origin: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}
