// Package fakessh runs programs anywhere in a tree of contexts: machines, accounts and containers that are reached
// over ssh, sudo, docker and their like, with nothing installed on them.
//
// A [Tree] is made from an inventory of targets. Nothing is connected before it is asked for; then each context is
// connected once, however many ask, and shared by all:
//
//	           gateway (Tree)
//	          ╱       │      ╲
//	     local     bastion    web2          inventory: local, bastion, web1 via bastion, …
//	                  │
//	                web1                    Connect(web1)
//	               ╱    ╲
//	web1+setuid.deploy   web1+docker.app    Connect(deploy on web1), Connect(web1+docker.app)
//
// A context in use is held by a [Lease]. One that nobody has used for a while is closed; one whose agent no longer
// answers is disconnected, and the next request connects it again.
//
//	connecting ──► up ──► closing ──► gone      (idle, not wanted any more, lost, Tree closed)
//	     └───────► failed ──2 s─────► gone      (the failure is remembered, so that many askers cost one attempt)
//
// The package knows nothing of users and policy: whoever calls Connect has decided that it may be done.
package fakessh
