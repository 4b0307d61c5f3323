// A webhook inbox as one writes it in Node in an hour: one process, one insert a request, each synced before its answer.
//
// Reads PORT, DATABASE (a file) and WEBHOOK_SECRET from the environment, and takes the service's native deliveries.

import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'
import { DatabaseSync } from 'node:sqlite'

const { PORT, DATABASE, WEBHOOK_SECRET } = process.env
const MAX_BODY_BYTES = 3_145_728

const E164 = /^\+[0-9]{1,15}$/
const TIMESTAMP = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?([Zz]|[+-]\d\d:?\d\d)$/

const database = new DatabaseSync(DATABASE)
database.exec(`
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY,
    message_id TEXT NOT NULL UNIQUE,
    sender TEXT NOT NULL,
    recipient TEXT NOT NULL,
    ts TEXT NOT NULL,
    text TEXT,
    received_at TEXT NOT NULL
  );
  CREATE INDEX IF NOT EXISTS messages_by_ts ON messages (ts, message_id);
  CREATE INDEX IF NOT EXISTS messages_by_sender ON messages (sender, ts, message_id);
`)
const insert = database.prepare(`
  INSERT INTO messages (message_id, sender, recipient, ts, text, received_at) VALUES (?, ?, ?, ?, ?, ?)
  ON CONFLICT (message_id) DO NOTHING
`)

function isSigned(body, signature = '') {
  const expected = createHmac('sha256', WEBHOOK_SECRET).update(body).digest()
  const claimed = Buffer.from(signature, 'hex')
  return claimed.length === expected.length && timingSafeEqual(claimed, expected)
}

function parse(body) {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    return null
  }
}

function findErrors(payload) {
  if (payload === null || typeof payload !== 'object' || Array.isArray(payload)) return { body: 'must be a JSON object' }
  const { message_id, from, to, ts, text = null } = payload
  const errors = {}
  if (typeof message_id !== 'string' || message_id.length < 1 || message_id.length > 255)
    errors.message_id = 'must be a text of 1 to 255 characters'
  if (typeof from !== 'string' || !E164.test(from)) errors.from = 'must be an E.164 number'
  if (typeof to !== 'string' || !E164.test(to)) errors.to = 'must be an E.164 number'
  if (typeof ts !== 'string' || !TIMESTAMP.test(ts) || Number.isNaN(Date.parse(ts)))
    errors.ts = 'must be a time with a zone'
  if (text !== null && (typeof text !== 'string' || text.length > 4096))
    errors.text = 'must be a text of at most 4096 characters, or null'
  return Object.keys(errors).length > 0 ? errors : null
}

function receive(body, signature) {
  if (!isSigned(body, signature)) return { status: 401, answer: { detail: 'invalid signature' } }
  const payload = parse(body)
  const errors = findErrors(payload)
  if (errors) return { status: 422, answer: { detail: 'invalid payload', errors } }
  const { message_id, from, to, ts, text = null } = payload
  try {
    const now = new Date().toISOString()
    const { changes } = insert.run(message_id, from, to, new Date(ts).toISOString(), text, now)
    return { status: 200, answer: { status: 'ok' }, message_id, dup: changes === 0 }
  } catch (failure) {
    return { status: 503, answer: { detail: 'try again later' }, message_id, failure: failure.message }
  }
}

function respond(request, response, started, { status, answer, ...facts }) {
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer))
  const { method, url } = request
  const latency_ms = performance.now() - started
  process.stdout.write(JSON.stringify({ ts: new Date().toISOString(), method, path: url, status, latency_ms, ...facts }) + '\n')
}

const server = createServer((request, response) => {
  const started = performance.now()
  if (request.method !== 'POST' || request.url !== '/webhook') {
    respond(request, response, started, { status: 404, answer: { detail: 'not found' } })
    return
  }
  const chunks = []
  let size = 0
  request.on('data', (chunk) => {
    size += chunk.length
    if (size <= MAX_BODY_BYTES) chunks.push(chunk)
  })
  request.on('end', () => {
    const outcome =
      size > MAX_BODY_BYTES
        ? { status: 413, answer: { detail: 'too large' } }
        : receive(Buffer.concat(chunks), request.headers['x-signature'])
    respond(request, response, started, outcome)
  })
})

server.listen(Number(PORT), '127.0.0.1')
process.on('SIGTERM', () => {
  server.close()
  server.closeAllConnections()
  database.close()
})
