// A correct server in another style: Node.js, whose streams do the buffering.
// Graded at stage 4.

const net = require("net");
const { parseArgs } = require("util");

const MAX_PAYLOAD = 1 << 20;
const HIGH_WATER = 1 << 20; // bytes of unsent replies above which no request is run
const [INT64_MIN, INT64_MAX] = [-(1n << 63n), (1n << 63n) - 1n];
const NOT_AN_INTEGER = "-ERR value is not an integer or out of range";
const store = new Map(); // keys as latin1 strings, which keep every byte

const bytes = (text) => Buffer.from(text, "latin1");
const wrongArguments = (name) => `-ERR wrong number of arguments for '${name}'`;
const oneKey = (name, run) => (argument) =>
  argument === null || argument.includes(" ") ? wrongArguments(name) : run(argument);

const COMMANDS = {
  PING: (message) => (message === null ? "+PONG" : "$" + message),
  ECHO: (message) => (message === null ? wrongArguments("echo") : "$" + message),
  SET: (argument) => {
    const space = (argument ?? "").indexOf(" ");
    if (space < 0) return wrongArguments("set");
    store.set(argument.slice(0, space), argument.slice(space + 1));
    return "+OK";
  },
  GET: oneKey("get", (key) => (store.has(key) ? "$" + store.get(key) : "_")),
  DEL: oneKey("del", (key) => (store.delete(key) ? ":1" : ":0")),
  INCR: oneKey("incr", (key) => {
    const text = store.get(key) ?? "0";
    if (!/^(0|-?[1-9][0-9]{0,18})$/.test(text)) return NOT_AN_INTEGER;
    const number = BigInt(text) + 1n;
    if (number - 1n < INT64_MIN || number > INT64_MAX) return NOT_AN_INTEGER;
    store.set(key, String(number));
    return ":" + number;
  }),
};

function respond(request) {
  if (request === "") return "-ERR empty command";
  const space = request.indexOf(" ");
  const name = space < 0 ? request : request.slice(0, space);
  const known = Object.hasOwn(COMMANDS, name.toUpperCase()) && COMMANDS[name.toUpperCase()];
  if (known) return known(space < 0 ? null : request.slice(space + 1));
  const shown = name.slice(0, 64).replace(/[^ -~]/g, (byte) => "\\x" + bytes(byte).toString("hex"));
  return `-ERR unknown command '${shown}'`;
}

const frame = (text) => {
  const payload = bytes(text);
  const header = Buffer.alloc(4);
  header.writeUInt32LE(payload.length);
  return Buffer.concat([header, payload]);
};

class Client {
  constructor(socket, idleSeconds) {
    this.socket = socket;
    this.peer = `${socket.remoteAddress}:${socket.remotePort}`;
    this.pieces = []; // received, not yet looked at as a whole
    this.received = 0; // bytes in them
    this.needed = 4; // so many must be there before it is worth a look
    this.ended = this.refused = false;
    socket.on("data", (data) => this.take(data));
    socket.on("drain", () => this.goOn());
    socket.on("end", () => {
      this.ended = true;
      this.answer();
    });
    socket.on("error", (error) => console.error(`${this.peer}: ${error.message}`));
    if (idleSeconds) this.watch(idleSeconds);
  }

  take(data) {
    this.active = Date.now();
    this.pieces.push(data);
    this.received += data.length;
    if (this.received >= this.needed) this.answer();
  }

  answer() {
    const data = Buffer.concat(this.pieces);
    const replies = [];
    let begin = 0;
    let due = this.socket.writableLength;
    this.needed = 4;
    while (!this.refused && due < HIGH_WATER && data.length - begin >= 4) {
      const length = data.readUInt32LE(begin);
      if (length > MAX_PAYLOAD) {
        this.refused = `payload of ${length} bytes exceeds ${MAX_PAYLOAD}`;
        replies.push(frame(`-ERR ${this.refused}`));
        console.error(`${this.peer}: ${this.refused}`);
        break;
      }
      this.needed = 4 + length;
      if (data.length - begin < this.needed) break;
      replies.push(frame(respond(data.toString("latin1", begin + 4, begin + this.needed))));
      due += replies[replies.length - 1].length;
      begin += this.needed;
      this.needed = 4;
    }
    // A copy: a view would keep all of the memory that the piece came in.
    this.pieces = begin < data.length ? [Buffer.from(data.subarray(begin))] : [];
    this.received = data.length - begin;
    if (replies.length) this.socket.write(Buffer.concat(replies));
    if (this.refused) this.pieces = [];
    if (this.socket.writableNeedDrain) this.socket.pause(); // until "drain"
    else if (due >= HIGH_WATER) this.answer(); // the kernel has taken all of it
    else if (this.ended || this.refused) this.socket.destroySoon(); // once all is sent
  }

  goOn() {
    this.socket.resume();
    this.answer();
  }

  watch(seconds) {
    this.active = Date.now();
    let sentBefore = 0;
    const timer = setInterval(() => {
      const sent = this.socket.bytesWritten - this.socket.writableLength;
      if (sent !== sentBefore) [sentBefore, this.active] = [sent, Date.now()];
      if (Date.now() - this.active < 1000 * seconds) return;
      console.error(`${this.peer}: idle for ${seconds} s`);
      this.socket.destroy();
    }, 125 * seconds);
    this.socket.on("close", () => clearInterval(timer));
  }
}

const { values } = parseArgs({
  options: { port: { type: "string" }, "idle-timeout": { type: "string", default: "300" } },
});
const idleSeconds = Number(values["idle-timeout"]);
const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => new Client(socket, idleSeconds));
server.on("error", (error) => {
  console.error(`cannot listen: ${error.message}`);
  process.exit(1);
});
server.listen({ port: Number(values.port), host: "127.0.0.1", backlog: 1024 });
for (const name of ["SIGINT", "SIGTERM"]) process.on(name, () => process.exit(0));
