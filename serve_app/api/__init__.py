"""The door: HTTP, WebSocket, authentication, limits and the wire forms of the contract. Knows ports, not Ray."""
