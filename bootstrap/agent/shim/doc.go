// Package shim is the ssh that a program finds during a run, and the scp and sftp beside it: OpenSSH's command line in
// front of a socket to the tree.
//
//	rsync ──fork──► ssh (shim) ──unix socket: command line, stdin, stdout, stderr──► gateway, or agent
//	  ▲                                                                                  │
//	  └────────────────── bytes, by the descriptors themselves ◄─────────────────────────┘
//
// The descriptors are handed over, so the bytes never pass through the shim; it waits for the exit. Terminals stay: the shim
// copies between them and pipes, puts them in raw mode where a terminal is asked for, and restores them whatever happens.
//
// It does not read ssh_config, knows no keys, and opens no network connection: who may go where is decided at the other end of the socket.
package shim
