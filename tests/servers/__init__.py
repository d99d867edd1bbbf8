"""The client, each face of it, against WebSocket servers that we did not write."""
