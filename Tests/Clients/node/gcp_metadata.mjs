// Replays what gcp-metadata and google-auth-library ask, with Node's own fetch.

const headers = { "Metadata-Flavor": "Google" };

async function get(host, path) {
  const response = await fetch(`http://${host}/computeMetadata/v1/${path}`, {
    headers,
    signal: AbortSignal.timeout(10_000),
  });
  if (response.status !== 200) throw new Error(`${path}: status ${response.status}`);
  if (response.headers.get("metadata-flavor") !== "Google") throw new Error(`${path}: no Metadata-Flavor`);
  return response.text();
}

// The detection: whoever answers first wins, but both are asked; "instance" redirects to "instance/".
const pings = await Promise.allSettled([
  get("169.254.169.254", "instance"),
  get("metadata.google.internal.", "instance"),
]);
if (!pings.some((ping) => ping.status === "fulfilled")) throw pings[0].reason;

const account = "instance/service-accounts/default";
const project = await get("169.254.169.254", "project/project-id");
const universe = await get("169.254.169.254", "universe/universe-domain");
const email = await get("169.254.169.254", `${account}/email`);
const token = JSON.parse(await get("169.254.169.254", `${account}/token`));
// The audience goes unescaped, as gcp-metadata sends it.
const identity = await get("169.254.169.254", `${account}/identity?format=full&audience=${process.env.AUDIENCE}`);
console.log(`version node ${process.versions.node}`);
console.log(`project ${project}`);
console.log(`universe ${universe}`);
console.log(`email ${email}`);
console.log(`token ${token.access_token}`);
console.log(`identity ${identity}`);
