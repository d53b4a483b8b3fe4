// Package routertest makes small trees of routers in one process, for tests.
//
//	tree := routertest.Tree(t, "web1(app db(pg)) web2")
//
//	          master (0)
//	         /          \
//	     web1 (1)      web2 (5)
//	     /      \
//	 app (2)   db (3)
//	             |
//	           pg (4)
//
// Links are in-memory pipes, so tests may use testing/synctest, or socket pairs. Everything is closed
// when the test ends, and Leaks makes it fail if a goroutine of ours is left then.
package routertest
