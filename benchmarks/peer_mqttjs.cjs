// A peer: MQTT.js, lines of a file at QoS 1, a window of them at a time. A process of its own.
const fs = require('fs')
const readline = require('readline')
const mqtt = require('mqtt')

const WINDOW = 100
const [port, certificate, key, ca, topic, file] = process.argv.slice(2)
const client = mqtt.connect({
  protocol: 'mqtts', host: 'localhost', port: Number(port), clientId: 'peer-mqttjs', clean: false,
  cert: fs.readFileSync(certificate), key: fs.readFileSync(key), ca: fs.readFileSync(ca),
})

client.once('connect', async () => {
  let out = 0
  let wake = () => {}
  for await (const line of readline.createInterface({ input: fs.createReadStream(file) })) {
    client.publish(topic, line, { qos: 1 }, () => { out -= 1; wake() })
    out += 1
    while (out >= WINDOW) await new Promise((resolve) => { wake = resolve })
  }
  while (out > 0) await new Promise((resolve) => { wake = resolve })
  client.end()
})
