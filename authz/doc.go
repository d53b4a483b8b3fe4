// Package authz decides who may do what. It knows no network and no SSH state: a question goes in as a
// [Request], a [Decision] comes out, and both are on record before anybody acts on them.
//
//	public key ─► Directory ─► Subject ─┐
//	                                    ├─► Request ─► Decider ─► Decision ─► the caller acts
//	target, account, command, source ───┘                │
//	                           policy.cedar ─► Policy ───┤
//	                                                     └─► Log ─► audit.jsonl (hash chain)
//
// Policies are written in Cedar (https://www.cedarpolicy.com). Nothing is allowed unless a policy permits it
// and none forbids it; a question that cannot be answered (a forbid rule that fails to evaluate, an
// audit log that cannot be written) is answered by no.
//
// Nobody knows a target's own account before it is connected, and nothing is connected for those who may not go there: [Decider.Possible]
// is asked first, whether policy could permit the request for any account at all; [Decider.Decide] then, about the account that there is.
//
// The vocabulary of a policy:
//
//	principal  User::"alice" in Group::"ops"
//	action     Action::"shell", … (see the constants of type Action)
//	resource   Target::"web1+docker.app" in TargetGroup::"prod", in Target::"web1"
//	context    account, command, hops, hop_count, key, source_ip, source_port, dest_host, dest_ip, dest_port, pty, time
//
// Every attribute is always there, with "" , 0 or false where it does not apply, except source_ip and dest_ip,
// which exist only for addresses: test those with `context has source_ip`.
package authz
