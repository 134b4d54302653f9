// A CloudEvents sink on the official JavaScript SDK.
//
// Each request is read and validated by the SDK as it comes in and appended to a file as one JSON
// line, in the form of the receiver on the Python SDK. One JSON line on standard output says where
// it listens. It ends when its standard input ends.

const { appendFileSync } = require("node:fs");
const { createServer } = require("node:http");
const { HTTP } = require("cloudevents");

const [option, file] = process.argv.slice(2);
if (option !== "--file" || !file) {
  throw new Error("expected --file PATH");
}

function record(request, body) {
  const line = { received: Date.now() / 1000, path: request.url, headers: request.headers, status: 202 };
  try {
    const event = HTTP.toEvent({ headers: request.headers, body });
    event.validate();
    const { data, ...attributes } = event.toJSON();
    const structured = request.headers["content-type"].startsWith("application/cloudevents");
    line.mode = structured ? "structured" : "binary";
    line.attributes = attributes;
    line.data = data;
  } catch (error) {
    line.refused = `${error}: ${JSON.stringify(error.errors)}`;
    line.status = 400;
  }
  return line;
}

const server = createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const line = record(request, Buffer.concat(chunks).toString());
    appendFileSync(file, `${JSON.stringify(line)}\n`);
    response.writeHead(line.status).end();
  });
});
server.listen(0, "127.0.0.1", () => {
  console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}/` }));
});
process.stdin.on("end", () => process.exit(0)).resume();
