"""The Autobahn test suite, the field's measure of a WebSocket implementation, against each face of the client."""
