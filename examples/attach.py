#!/usr/bin/python3
"""Attaches to the running gateway with Mitogen, and asks the agent of each context who it is.

    fakesshd tree --json | /usr/bin/python3 examples/attach.py [CONTROL-SOCKET]

Needs Mitogen (Debian: python3-mitogen), and to be the gateway's own account or root.
"""
import json
import os
import sys

import mitogen.unix

SOCKETS = [
    os.path.join(os.environ.get('XDG_RUNTIME_DIR', '/nonexistent'), 'fakesshd/control.sock'),
    '/run/fakesshd/control.sock',
    os.path.expanduser('~/.local/state/fakesshd/control.sock'),
]


def served(module, name):
    """What an agent serves by this name. There is no Python at the other end: the name is all that is sent."""
    def function():
        pass
    function.__module__, function.__name__, function.__qualname__ = module, name, name
    return function


def main(sockets):
    path = next((path for path in sockets if os.path.exists(path)), sockets[0])
    router, gateway = mitogen.unix.connect(path)
    try:
        for node in json.load(sys.stdin):
            if node['state'] == 'up':
                info = router.context_by_id(node['id']).call(served('fakessh.agent', 'info'))
                print('%s: %s on %s, pid %d' % (node['name'], info['user'], info['hostname'], info['pid']))
    finally:
        router.broker.shutdown()
        router.broker.join()


if __name__ == '__main__':
    main(sys.argv[1:] or SOCKETS)
