package proxy

// Channel types (RFC 4254 and OpenSSH's PROTOCOL).
const (
	chanSession        = "session"                           // RFC 4254 section 6.1
	chanDirectTCPIP    = "direct-tcpip"                      // RFC 4254 section 7.2
	chanDirectUnix     = "direct-streamlocal@openssh.com"    // PROTOCOL section 2.4
	chanForwardedTCPIP = "forwarded-tcpip"                   // RFC 4254 section 7.2; ours to open
	chanForwardedUnix  = "forwarded-streamlocal@openssh.com" // PROTOCOL section 2.4; ours to open
	chanAgent          = "auth-agent@openssh.com"            // the agent forwarding draft; ours to open
)

// Requests on a session channel.
const (
	reqPTY          = "pty-req"                    // RFC 4254 section 6.2
	reqX11          = "x11-req"                    // RFC 4254 section 6.3
	reqEnv          = "env"                        // RFC 4254 section 6.4
	reqShell        = "shell"                      // RFC 4254 section 6.5
	reqExec         = "exec"                       // RFC 4254 section 6.5
	reqSubsystem    = "subsystem"                  // RFC 4254 section 6.5
	reqWindowChange = "window-change"              // RFC 4254 section 6.7
	reqSignal       = "signal"                     // RFC 4254 section 6.9
	reqExitStatus   = "exit-status"                // RFC 4254 section 6.10
	reqExitSignal   = "exit-signal"                // RFC 4254 section 6.10
	reqBreak        = "break"                      // RFC 4335
	reqEndOfWrite   = "eow@openssh.com"            // PROTOCOL section 2.1
	reqAgent        = "auth-agent-req@openssh.com" // the agent forwarding draft
)

// Global requests; keepAlive is sent on channels too.
const (
	reqKeepAlive      = "keepalive@openssh.com"
	reqNoMoreSessions = "no-more-sessions@openssh.com" // PROTOCOL section 2.2
	reqHostKeys       = "hostkeys-00@openssh.com"      // PROTOCOL section 2.5
	reqHostKeysProve  = "hostkeys-prove-00@openssh.com"

	reqForwardTCPIP       = "tcpip-forward"        // RFC 4254 section 7.1
	reqCancelForwardTCPIP = "cancel-tcpip-forward" // RFC 4254 section 7.1
	reqForwardUnix        = "streamlocal-forward@openssh.com"
	reqCancelForwardUnix  = "cancel-streamlocal-forward@openssh.com"
)

// subsystemSFTP is the one subsystem there is.
const subsystemSFTP = "sftp"

// exitNever is the status of a session whose program never ran, or was lost: what ssh itself exits with when it cannot connect.
const exitNever = 255
