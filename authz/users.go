package authz

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	osuser "os/user"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// User is one entry of the configuration's users.
type User struct {
	Keys       []string // authorized_keys lines, or "file:PATH" of an authorized_keys file (see OpenTrusted), which may be Unix's own
	Groups     []string
	LoginNames []string // account names by which ssh clients mean "me"
	Unix       string   // the local account that is this principal on the control socket
}

// Users is a checked set of users. It never changes.
type Users struct {
	users    map[string]User
	byKey    map[string][]owner // by the wire form of the key
	byUnix   map[string]string
	problems []error
}

type owner struct {
	principal string
	key       Key
}

// UserError says what is wrong with one user.
type UserError struct {
	Name string
	Err  error
}

func (e *UserError) Error() string { return fmt.Sprintf("user %q: %v", e.Name, e.Err) }
func (e *UserError) Unwrap() error { return e.Err }

// NewUsers reads and checks users. A wrong inline key, a file that cannot be read, and a login name or unix account of two
// principals are errors, joined, each a *UserError. Single unusable lines of files are left out and listed by Problems. A key may be that of several
// principals: the login name then says which (`alice=root@web1`).
func NewUsers(users map[string]User) (*Users, error) {
	u := &Users{users: maps.Clone(users), byKey: map[string][]owner{}, byUnix: map[string]string{}}
	meant := map[string]string{}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(users)) {
		if err := u.add(name, users[name], meant); err != nil {
			errs = append(errs, &UserError{name, err})
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return u, nil
}

func (u *Users) add(name string, user User, meant map[string]string) error {
	if !validPrincipal(name) {
		return errors.New("a name is letters, digits, dots, _ and -, beginning with neither dot nor -")
	}
	for _, login := range append([]string{name}, user.LoginNames...) {
		if other, taken := meant[login]; taken && other != name {
			return fmt.Errorf("login name %q already means %q", login, other)
		}
		meant[login] = name
	}
	if user.Unix != "" {
		if other, taken := u.byUnix[user.Unix]; taken {
			return fmt.Errorf("unix account %q already is %q", user.Unix, other)
		}
		u.byUnix[user.Unix] = name
	}
	for i, entry := range user.Keys {
		if err := u.addKeys(name, i, entry, user); err != nil {
			return err
		}
	}
	return nil
}

func (u *Users) addKeys(principal string, i int, entry string, user User) error {
	keys, err := u.readKeys(i, entry, user)
	if err != nil {
		return err
	}
	for _, k := range keys {
		id := string(k.Public.Marshal())
		u.byKey[id] = append(u.byKey[id], owner{principal, k})
	}
	return nil
}

func (u *Users) readKeys(i int, entry string, user User) ([]Key, error) {
	path, isFile := strings.CutPrefix(entry, "file:")
	if !isFile {
		keys, errs := ParseAuthorizedKeys(fmt.Sprintf("keys[%d]", i), []byte(entry))
		if len(errs) == 0 && len(keys) != 1 {
			errs = append(errs, fmt.Errorf("keys[%d]: want one key, have %d", i, len(keys)))
		}
		return keys, errors.Join(errs...)
	}
	text, err := ReadTrusted(path, maxKeyFile, accountOf(user)...)
	if err != nil {
		return nil, err
	}
	keys, errs := ParseAuthorizedKeys(path, text)
	u.problems = append(u.problems, errs...)
	return keys, nil
}

// accountOf is the uid of a user's local account: what it alone can change lets in nobody else. None if there is no such account.
func accountOf(user User) (owners []int) {
	if user.Unix == "" {
		return nil
	}
	account, err := osuser.Lookup(user.Unix)
	if err != nil {
		return nil
	}
	uid, err := strconv.Atoi(account.Uid)
	if err != nil {
		return nil
	}
	return []int{uid}
}

// Problems lists the lines of key files that were left out, each a *KeyError.
func (u *Users) Problems() []error { return u.problems }

// Lookup finds whose key it is, of those for whom it serves now and from source, sorted by name. The caller must have proof
// that the client holds the key; until then the answer only says that a proof would be worth something. When it is nobody's,
// the error says why, for the log.
func (u *Users) Lookup(key ssh.PublicKey, source netip.Addr, now time.Time) ([]Subject, error) {
	if key == nil {
		return nil, errors.New("no key")
	}
	owners := u.byKey[string(key.Marshal())]
	if len(owners) == 0 {
		return nil, fmt.Errorf("key %s is nobody's", ssh.FingerprintSHA256(key))
	}
	var subjects []Subject
	var refusals []string
	for _, o := range owners {
		if err := o.key.usable(source, now); err != nil {
			refusals = append(refusals, fmt.Sprintf("%s: %v (%s:%d)", o.principal, err, o.key.File, o.key.Line))
		} else if n := len(subjects); n == 0 || subjects[n-1].Principal != o.principal {
			subjects = append(subjects, u.subject(o.principal, ssh.FingerprintSHA256(key)))
		}
	}
	if len(subjects) == 0 {
		return nil, errors.New(strings.Join(refusals, "; "))
	}
	return subjects, nil
}

// ByUnix finds the principal that a local account is (the peer of the control socket).
func (u *Users) ByUnix(account string) (Subject, bool) {
	name, ok := u.byUnix[account]
	if !ok {
		return Subject{}, false
	}
	return u.subject(name, "unix:"+account), true
}

func (u *Users) subject(name, keyID string) Subject {
	return Subject{Principal: name, Groups: slices.Clone(u.users[name].Groups), KeyID: keyID}
}

// LoginNames are the names, beside its own, by which a principal means itself.
func (u *Users) LoginNames(principal string) []string {
	return slices.Clone(u.users[principal].LoginNames)
}

// validPrincipal keeps out what the user name syntax uses (= @ +) and what would look odd in a log.
func validPrincipal(name string) bool {
	if name == "" || len(name) > 64 || name[0] == '-' || name[0] == '.' {
		return false
	}
	for _, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// Directory is a Users that can be replaced while it is in use. Safe for concurrent use.
type Directory struct{ users atomic.Pointer[Users] }

// NewDirectory makes a directory of users.
func NewDirectory(users *Users) *Directory {
	d := &Directory{}
	d.Replace(users)
	return d
}

// Replace puts users in force for every later question.
func (d *Directory) Replace(users *Users) { d.users.Store(users) }

// Users is the set in force.
func (d *Directory) Users() *Users { return d.users.Load() }

// Subjects are the subjects that possession of key proves to a client at remote, now. When it proves nothing the error says why, for the log.
func (d *Directory) Subjects(key ssh.PublicKey, remote net.Addr) ([]Subject, error) {
	return d.Users().Lookup(key, addrOf(remote), time.Now())
}

// addrOf is the zero Addr for anything but IP; keys that are bound to addresses then do not serve.
func addrOf(remote net.Addr) netip.Addr {
	if tcp, ok := remote.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr()
	}
	return netip.Addr{}
}

// LoginNames is Users.LoginNames.
func (d *Directory) LoginNames(principal string) []string { return d.Users().LoginNames(principal) }

// ByUnix is Users.ByUnix.
func (d *Directory) ByUnix(account string) (Subject, bool) { return d.Users().ByUnix(account) }
