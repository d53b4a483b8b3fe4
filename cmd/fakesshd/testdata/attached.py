"""A program of somebody who knows Mitogen. It says what came of each step, and waits for a line where the test looks at the gateway."""
import os
import sys
import threading

import mitogen.core
import mitogen.parent
import mitogen.unix

import attached_module


def served(name):
    def function():
        pass
    function.__module__, function.__name__, function.__qualname__ = 'fakessh.agent', name, name
    return function


def tell(what):
    print(what, flush=True)


def pause(what):
    tell(what)
    sys.stdin.readline()


def main(path, agent_id):
    router, gateway = mitogen.unix.connect(path)
    gone = threading.Event()
    mitogen.core.listen(gateway, 'disconnect', gone.set)
    tell('gateway %d' % gateway.context_id)
    agent = router.context_by_id(agent_id)
    tell('ping %r' % agent.call(served('ping'), u'gr\u00fc\u00dfe'))
    tell('agent %d' % agent.call(served('info'))['pid'])
    for context in gateway, router.context_by_id(4000000):
        try:
            tell('answer %r' % context.call(os.getpid))
        except mitogen.core.ChannelError as e:
            tell(e)
    # As in docs/protocol.md section 1.8.
    router.id_allocator = mitogen.parent.ChildIdAllocator(router)
    router.route_monitor.parent = gateway
    router.importer = mitogen.core.Importer(router, gateway, b'')
    child = router.local(python_path=sys.executable)
    tell('child of %d' % (child.call(os.getppid) - os.getpid()))
    tell(child.call(attached_module.where))
    pause('child %d' % child.context_id)
    child.shutdown(wait=True)
    pause('child gone')
    gone.wait()
    tell('gateway gone')
    router.broker.shutdown()
    router.broker.join()


if __name__ == '__main__':
    main(sys.argv[1], int(sys.argv[2]))
