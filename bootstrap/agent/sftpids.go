package agent

import (
	"os/user"
	"strconv"
)

// idNames looks every id up once; what has no name has "". The keys are "u0" and "g0".
type idNames map[string]string

func (n idNames) user(uid uint32) string {
	return n.lookup("u", uid, func(id string) string {
		u, err := user.LookupId(id)
		if err != nil {
			return ""
		}
		return u.Username
	})
}

func (n idNames) group(gid uint32) string {
	return n.lookup("g", gid, func(id string) string {
		g, err := user.LookupGroupId(id)
		if err != nil {
			return ""
		}
		return g.Name
	})
}

func (n idNames) lookup(kind string, id uint32, ask func(id string) string) string {
	text := strconv.FormatUint(uint64(id), 10)
	name, ok := n[kind+text]
	if !ok {
		name = ask(text)
		n[kind+text] = name
	}
	return name
}

// usersGroupsByID names the owners of what STAT answered: OpenSSH's `ls -l FILE` would show numbers otherwise.
func (f *sftpFront) usersGroupsByID(id uint32, r *fxReader) []byte {
	uids, gids := fxReader{data: []byte(r.string())}, fxReader{data: []byte(r.string())}
	names := make(idNames)
	users, groups := namesOf(&uids, names.user), namesOf(&gids, names.group)
	if r.bad || uids.bad || gids.bad {
		r.bad = true
		return nil
	}
	w := newPacket(fxpExtendedReply)
	w.uint32(id)
	w.string(users)
	w.string(groups)
	return w.finish()
}

// namesOf packs the names of packed ids.
func namesOf(ids *fxReader, name func(id uint32) string) string {
	var w fxWriter
	for len(ids.data) > 0 && !ids.bad {
		w.string(name(ids.uint32()))
	}
	return string(w)
}
