"""Random faults between a WebSocket client and a server: what a network, and a peer that is dying, can do.

A plan and a conversation come from one number, so that any session can be played again.
"""
