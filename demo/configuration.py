"""The forwarder's configuration, as a person would write it for a device with a mobile link."""

from __future__ import annotations

from demo.broker import HOST
from demo.certificates import Certificates

STREAM = "vitals"
QUEUE_RECORDS = 200

# Paths are relative to where the forwarder is started.
_TEXT = """\
thingName: demo-gateway
streams:
  {stream}:
    source: {{path: inbox, doneSeconds: 2, onDone: archive}}
    topic: "telemetry/{{thingName}}/{{stream}}"
    queue:
      mode: back/drop-front       # mode 3, a rolling queue: when it is full, the oldest record falls off
      maxRecords: {queue_records:<16}# small, so that an outage of seconds is enough to fill it
gate: {{maxInFlight: 50}}           # so many messages may wait for the acknowledgement of the broker
pace: {{publishesPerSecond: 800}}   # for IoT Core leave the default: it discards what exceeds 100 a second
connection:
  endpoint: {host}
  port: {port:<26}# the link to the broker, which can be cut
  certificate: {certificates.gateway.certificate.name}
  privateKey: {certificates.gateway.key.name}
  ca: {certificates.authority.name}
  reconnectMaxSeconds: 1
state: {{path: state, commitRecords: 500}}
report: {{logSeconds: 5}}
"""


def configuration(port: int, certificates: Certificates) -> str:
    return _TEXT.format(stream=STREAM, queue_records=QUEUE_RECORDS, host=HOST, port=port, certificates=certificates)
