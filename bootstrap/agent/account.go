package agent

import (
	"context"
	"os"
	"strconv"
	"sync"
	"time"

	"fakessh/methods"
)

// account is who sessions run as.
type account = methods.Account

// accounts finds the account that this process runs as.
type accounts struct {
	mu     sync.Mutex
	cached account // what getent said
	until  time.Time
}

// current is the account of the effective uid: from /etc/passwd, else from the name
// services by their own tool (a static program cannot load them), else made up, since
// container roots often have no passwd file at all.
func (as *accounts) current() account {
	uid := os.Geteuid()
	preferred := os.Getenv("LOGNAME")
	if a, ok := methods.AccountInFile(uid, preferred); ok {
		return a
	}
	if a, ok := as.fromNameService(uid); ok {
		return a
	}
	return madeUp(uid)
}

// madeUp is the account of a uid that nobody knows.
func madeUp(uid int) account {
	name := strconv.Itoa(uid)
	if uid == 0 {
		name = "root"
	}
	return account{Name: name, UID: uid, GID: os.Getegid(), Home: "/", Shell: "/bin/sh"}
}

// nameServiceAge is how long an answer of the name services is believed: they may be
// a network away, and every session asks.
const nameServiceAge = time.Minute

func (as *accounts) fromNameService(uid int) (account, bool) {
	as.mu.Lock()
	defer as.mu.Unlock()
	now := time.Now()
	if now.Before(as.until) {
		return as.cached, as.cached.Name != ""
	}
	a, ok := methods.AskAccount(context.Background(), uid)
	as.cached, as.until = a, now.Add(nameServiceAge)
	return a, ok
}
