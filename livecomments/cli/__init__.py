"""The `livecomments` command: puts the rooms together and runs them.

- `__main__`: the command line.
- `embedded`: the whole service in one process, on one file.
- `parts`: the pieces that every form of the service is made of.
- `demo`: plays a real chat into a running service.
- `load`: plays a chat through any deployment and checks what comes out.

Deliberately not here: any rule about comments.
"""
