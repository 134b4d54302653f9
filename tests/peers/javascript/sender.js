// A sender on the official JavaScript SDK: it posts one event in each mode that the SDK has to the
// address in its argument, and prints a JSON line with mode and status for each answer.

const { CloudEvent, HTTP } = require("cloudevents");

function happened(id) {
  return new CloudEvent({
    id,
    source: "https://sender.example.com/javascript",
    type: "com.example.happened",
    subject: "thing-1",
    dataschema: "https://sender.example.com/schema",
    time: "2026-01-02T03:04:05.600Z",
    site: "berlin",
    number: 7,
    datacontenttype: "application/json",
    data: { text: "a <b> ü \n" },
  });
}

async function main(url) {
  for (const mode of ["binary", "structured"]) {
    const { headers, body } = HTTP[mode](happened(`javascript-${mode}`));
    const answer = await fetch(url, { method: "POST", headers, body });
    console.log(JSON.stringify({ mode, status: answer.status }));
  }
}

main(process.argv[2]);
