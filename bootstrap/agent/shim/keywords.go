package shim

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// keyword says what OpenSSH 9.2 takes for the value of a setting: its words in lower case, or what check finds.
type keyword struct {
	words string
	check func(value string) error
	rest  bool // the value is more than one word
}

// The kinds of values that are checked: a wrong one is told in OpenSSH's words.
var (
	anyWord  = keyword{}
	anyText  = keyword{rest: true}
	yesNo    = keyword{words: "yes true no false"}
	yesNoAsk = keyword{words: "yes true no false ask"}
	count    = keyword{check: checkNumber}
	duration = keyword{check: func(v string) error { _, err := parseTime(v); return err }}
	keyTypes = keyword{check: func(v string) error {
		return badUnless(v[0] == '-' || validPatterns(v, allSignNames), "Bad key types '"+v+"'.")
	}}
)

// keywords are the settings of OpenSSH 9.2 as Debian has it, those among them that it only ignores included.
var keywords = map[string]keyword{
	"addkeystoagent": anyText, "addressfamily": {words: "any inet inet6"}, "batchmode": yesNo, "bindaddress": anyWord, "bindinterface": anyWord,
	"canonicaldomains": anyText, "canonicalizefallbacklocal": yesNo, "canonicalizehostname": {words: "yes true no false always"},
	"canonicalizemaxdots": count, "canonicalizepermittedcnames": anyText, "casignaturealgorithms": keyTypes, "certificatefile": anyWord,
	"challengeresponseauthentication": yesNo, "checkhostip": yesNo, "clearallforwardings": yesNo, "compression": yesNo,
	"connectionattempts": count, "connecttimeout": duration, "controlmaster": {words: "yes true no false auto ask autoask"},
	"controlpath": anyWord, "controlpersist": {check: checkPersist}, "dsaauthentication": yesNo, "dynamicforward": anyWord,
	"enableescapecommandline": yesNo, "enablesshkeysign": yesNo, "escapechar": anyWord, "exitonforwardfailure": yesNo,
	"fingerprinthash":         {check: func(v string) error { return badUnless(oneOf(v, "md5 sha256"), `Invalid hash algorithm "`+v+`".`) }},
	"forkafterauthentication": yesNo, "forwardagent": anyWord, "forwardx11": yesNo, "forwardx11timeout": duration, "forwardx11trusted": yesNo,
	"gatewayports": yesNo, "globalknownhostsfile": anyText, "gssapiauthentication": yesNo, "gssapiclientidentity": anyWord,
	"gssapidelegatecredentials": yesNo, "gssapikexalgorithms": anyWord, "gssapikeyexchange": yesNo, "gssapirenewalforcesrekey": yesNo,
	"gssapiserveridentity": anyWord, "gssapitrustdns": yesNo, "hashknownhosts": yesNo, "hostbasedacceptedalgorithms": keyTypes,
	"hostbasedauthentication": yesNo, "hostbasedkeytypes": keyTypes, "hostkeyalgorithms": keyTypes, "hostkeyalias": anyWord, "hostname": anyWord,
	"identitiesonly": yesNo, "identityagent": anyWord, "identityfile": anyWord, "identityfile2": anyWord, "ignoreunknown": anyWord,
	"ipqos": anyText, "kbdinteractiveauthentication": yesNo, "kbdinteractivedevices": anyWord, "keepalive": yesNo,
	"kexalgorithms": {check: func(v string) error {
		return badUnless(v[0] == '-' || validNames(v, kexNames), "Bad SSH2 KexAlgorithms '"+v+"'.")
	}},
	"knownhostscommand": anyText, "localcommand": anyText, "localforward": anyText,
	"loglevel":   {check: func(v string) error { return badUnless(oneOf(v, logLevels), "unsupported log level '"+v+"'") }},
	"logverbose": anyText,
	"ciphers": {check: func(v string) error {
		return badUnless(v[0] == '-' || validNames(v, cipherNames), "Bad SSH2 cipher spec '"+v+"'.")
	}},
	"macs": {check: func(v string) error {
		return badUnless(v[0] == '-' || validNames(v, macNames), "Bad SSH2 MAC spec '"+v+"'.")
	}},
	"nohostauthenticationforlocalhost": yesNo, "numberofpasswordprompts": count, "passwordauthentication": yesNo, "permitlocalcommand": yesNo,
	"permitremoteopen": anyText, "pkcs11provider": anyWord, "port": anyWord, "preferredauthentications": anyWord, "proxycommand": anyText,
	"proxyjump": anyText, "proxyusefdpass": yesNo, "pubkeyacceptedalgorithms": keyTypes, "pubkeyacceptedkeytypes": keyTypes,
	"pubkeyauthentication": {words: "yes true no false unbound host-bound"}, "rekeylimit": anyText, "remotecommand": anyText, "remoteforward": anyText,
	"requesttty": anyWord, "requiredrsasize": count, "revokedhostkeys": anyWord, "securitykeyprovider": anyWord, "sendenv": anyText,
	"serveralivecountmax": count, "serveraliveinterval": duration, "sessiontype": anyWord, "setenv": anyText, "skeyauthentication": yesNo,
	"smartcarddevice": anyWord, "stdinnull": yesNo, "streamlocalbindmask": anyWord, "streamlocalbindunlink": yesNo,
	"stricthostkeychecking": {words: "yes true no false ask off accept-new"},
	"syslogfacility":        {check: func(v string) error { return badUnless(oneOf(v, facilities), "unsupported log facility '"+v+"'") }},
	"tcpkeepalive":          yesNo, "tisauthentication": yesNo, "tunnel": {words: "yes true no false ethernet point-to-point"}, "tunneldevice": anyWord,
	"updatehostkeys": yesNoAsk, "user": anyWord, "userknownhostsfile": anyText, "verifyhostkeydns": yesNoAsk, "visualhostkey": yesNo,
	"xauthlocation": anyWord,
	// Of Debian's own, without effect there too; of former versions, ignored or not supported any more.
	"protocolkeepalives": duration, "setuptimeout": duration, "protocol": anyText, "cipher": anyText, "fallbacktorsh": anyText,
	"globalknownhostsfile2": anyText, "rhostsauthentication": anyText, "userknownhostsfile2": anyText, "useroaming": anyText, "usersh": anyText,
	"useprivilegedport": anyText, "useblacklistedkeys": anyText, "afstokenpassing": anyText, "kerberosauthentication": anyText,
	"kerberostgtpassing": anyText, "rsaauthentication": anyText, "rhostsrsaauthentication": anyText, "compressionlevel": anyText,
}

const (
	logLevels  = "quiet fatal error info verbose debug debug1 debug2 debug3"
	facilities = "daemon user auth authpriv local0 local1 local2 local3 local4 local5 local6 local7"
)

// checkSetting says what OpenSSH would say against a setting with a value.
func (o *options) checkSetting(key, value string) error {
	k, known := keywords[key]
	switch {
	case key == "include":
		return fatalError("Include directive not supported as a command-line option")
	case key == "host" || key == "match":
		return fatalError("Host directive not supported as a command-line option")
	case !known && matchesAny(o.ignored, key):
		return nil
	case !known:
		return fatalError("command-line: line 0: Bad configuration option: " + key)
	case value == "":
		return bad("no argument after keyword \"" + key + "\"")
	case k.rest:
		return nil
	}
	words := splitWords(value)
	switch {
	case len(words) == 0 || words[0] == "":
		return bad("no argument after keyword \"" + key + "\"")
	case k.words != "" && !oneOf(words[0], k.words):
		return unsupported(words[0])
	case k.check != nil:
		if err := k.check(words[0]); err != nil {
			return err
		}
	}
	return badUnless(len(words) == 1, "keyword "+key+" extra arguments at end of line")
}

// bad is an error in a setting of the command line.
func bad(text string) error { return fatalError("command-line line 0: " + text) }

func badUnless(ok bool, text string) error {
	if ok {
		return nil
	}
	return bad(text)
}

func oneOf(word, words string) bool {
	return slices.Contains(strings.Fields(words), strings.ToLower(word))
}

func checkNumber(value string) error {
	n, err := strconv.ParseInt(value, 10, 64)
	switch {
	case err != nil:
		return bad("integer value invalid.")
	case n < 0:
		return bad("integer value too small.")
	case n > 1<<31-1:
		return bad("integer value too large.")
	}
	return nil
}

func checkPersist(value string) error {
	if _, err := parseTime(value); err != nil && !oneOf(value, "yes true no false") {
		return bad("Bad ControlPersist argument.")
	}
	return nil
}

// parseTime reads OpenSSH's times: numbers, each with a unit or in seconds, or "none", which is 0.
func parseTime(value string) (time.Duration, error) {
	units := map[byte]time.Duration{'s': 1, 'm': 60, 'h': 60 * 60, 'd': 24 * 60 * 60, 'w': 7 * 24 * 60 * 60}
	var total time.Duration
	for rest := value; value != "none" && (rest != "" || value == ""); {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		n, err := strconv.ParseUint(rest[:digits], 10, 20)
		unit := time.Duration(1)
		if rest = rest[digits:]; rest != "" && err == nil {
			unit, rest = units[rest[0]|0x20], rest[1:]
		}
		if total += time.Duration(n) * unit; err != nil || unit == 0 || total >= 1<<31 {
			return 0, bad("invalid time value.")
		}
	}
	return total * time.Second, nil
}
