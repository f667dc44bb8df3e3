// A slow line in front of a host. Packets are late and come one after the other, as on a real line; what Chrome's DevTools call
// throttling holds whole requests back instead.
import { connect, createServer } from "node:net";

const PACKET = 1460; // bytes

/**
 * A port that leads to `port` over a line of `rtt` ms there and back, and of `down` and `up` bits a second for all connections
 * together. The first connection waits `handshakes` round trips before anything passes; further ones do not, as in HTTP/2,
 * where there are none. `hangUp` ends all connections, so that the next one is the first again.
 */
export async function slowLine(port, { rtt, down, up, handshakes }) {
  let opened;
  const clients = new Set();
  const way = (rate) => {
    const sent = [];
    let free = 0; // when the line has taken all that it was given
    return (from, to) => {
      const pass = (act, bytes) => {
        const now = performance.now();
        free = Math.max(now, free, opened + handshakes * rtt) + (bytes * 8000) / rate;
        sent.push(act);
        setTimeout(() => sent.shift()(), free + rtt / 2 - now); // whichever timer it is: the order stays
      };
      from.on("data", (data) => {
        for (let at = 0; at < data.length; at += PACKET) {
          const packet = data.subarray(at, at + PACKET);
          pass(() => to.destroyed || to.write(packet), packet.length);
        }
      });
      from.on("end", () => pass(() => to.end(), 0));
      from.on("error", () => to.destroy());
    };
  };
  const [there, back] = [way(up), way(down)];
  const server = createServer({ allowHalfOpen: true }, (client) => {
    opened ??= performance.now();
    const host = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    clients.add(client);
    client.on("close", () => clients.delete(client) && host.destroy());
    there(client, host);
    back(host, client);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const hangUp = () => {
    opened = undefined;
    for (const client of clients) client.destroy();
  };
  return { origin: `http://127.0.0.1:${server.address().port}`, hangUp, close: () => server.close() };
}
