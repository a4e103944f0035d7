// OpenClaw's own client of the control plane, driven line by line.
//
//   node client.mjs '{"url": …, "token": …, "device": "right"}'
//
// The options are GatewayClient's; `device` adds an identity whose signature is "right" or "forged". Requests come as
// JSON lines {id, method, params, options}; the method "acquire" subscribes with the client's own coordinator. What the
// client tells goes out as JSON lines {told, …}. It ends with its input.
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import { createInterface } from "node:readline";
import { GatewayClient, GatewaySessionMessageSubscriptionCoordinator } from "@openclaw/gateway-client";

const { device, ...options } = JSON.parse(process.argv[2]);

function tell(told, values = {}) {
  process.stdout.write(`${JSON.stringify({ told, ...values })}\n`);
}

function shape(error) {
  return { message: error.message, code: error.code, details: error.details, retryable: error.retryable };
}

function rawPublicKey(pem) {
  // The key itself is the end of its DER form.
  return createPublicKey(pem).export({ type: "spki", format: "der" }).subarray(-32);
}

function identity() {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519", {
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  const deviceId = createHash("sha256").update(rawPublicKey(publicKey)).digest("hex");
  return { deviceId, publicKeyPem: publicKey, privateKeyPem: privateKey };
}

const client = new GatewayClient({
  ...options,
  deviceIdentity: device ? identity() : null,
  hostDeps: {
    signDevicePayload(pem, payload) {
      const signed = Buffer.from(device === "forged" ? `${payload}!` : payload);
      return sign(null, signed, createPrivateKey(pem)).toString("base64url");
    },
    publicKeyRawBase64UrlFromPem: (pem) => rawPublicKey(pem).toString("base64url"),
  },
  onHelloOk: (hello) => tell("hello", { hello }),
  onEvent: (event) => tell("event", event),
  onGap: (gap) => tell("gap", gap),
  onConnectError: (error) => tell("connectError", shape(error)),
  onReconnectPaused: (info) => tell("paused", info),
  onClose: (code, reason) => tell("close", { code, reason }),
});
const coordinator = new GatewaySessionMessageSubscriptionCoordinator(client);

async function answer({ id, method, params, options: how }) {
  try {
    const asked = method === "acquire" ? coordinator.acquire(params.key) : client.request(method, params, how);
    tell("result", { id, payload: await asked });
  } catch (error) {
    tell("failure", { id, ...shape(error) });
  }
}

createInterface({ input: process.stdin })
  .on("line", (line) => answer(JSON.parse(line)))
  .on("close", async () => {
    await client.stopAndWait();
    process.exit(0);
  });
client.start();
