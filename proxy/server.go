package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/gliderlabs/ssh"
	gossh "golang.org/x/crypto/ssh"

	"fakessh/authz"
)

// Config makes a Server. HostKeys, Auth, Decider and Backend have no default: without one of them there is no server.
type Config struct {
	HostKeys []gossh.Signer
	HostCA   gossh.Signer // signs for virtual hosts; nil: they have the plain host keys only
	Auth     Authenticator
	Decider  Decider
	Auditor  Auditor // nil discards
	Backend  Backend
	Version  string       // of the program, in "SSH-2.0-OpenSSH_fakesshd_VERSION"; "" = "dev"
	Logger   *slog.Logger // nil discards

	LoginGrace  time.Duration  // for a handshake; 0 = 60 s
	MaxStartups int            // connections in their handshake at once; 0 = 100
	MaxChannels int            // channels of one client connection at once, those of its virtual hosts included; 0 = 1000
	KeepAlive   time.Duration  // silence after which a client is asked for a sign of life; 0 = 15 s, negative = never
	KeepAlives  int            // such silences after which it is taken for dead; 0 = 3
	AnyCipher   bool           // let the client's order of ciphers decide (see cipher.go)
	Env         *authz.EnvList // variables that clients may set; nil = authz.DefaultEnvList
}

// Defaults of Config.
const (
	defaultLoginGrace  = 60 * time.Second
	defaultMaxStartups = 100
	defaultMaxChannels = 1000
	defaultKeepAlive   = 15 * time.Second
	defaultKeepAlives  = 3
	maxAuthTries       = 6
)

// lastWords is how long sessions have to say that the server goes, and connections to close, when Shutdown's time is up.
const lastWords = time.Second

// Server serves SSH. Its methods are safe for concurrent use.
type Server struct {
	cfg     Config
	version string
	log     *slog.Logger
	ssh     *ssh.Server
	certs   *hostCerts

	stop    context.Context // done when sessions have to end at once
	stopNow context.CancelCauseFunc

	startups gauge // connections in their handshake
	busy     gauge // sessions and relays
	running  gauge // goroutines that serve a connection or channel
	logins   tally // connections with an identity
	open     tally // channels
	waiting  tally // sessions without a program

	mu        sync.Mutex
	draining  bool
	closed    bool
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
}

// New checks cfg.
func New(cfg Config) (*Server, error) {
	switch {
	case len(cfg.HostKeys) == 0:
		return nil, errors.New("proxy: no host key")
	case cfg.Auth == nil:
		return nil, errors.New("proxy: no authenticator")
	case cfg.Decider == nil:
		return nil, errors.New("proxy: no decider")
	case cfg.Backend == nil:
		return nil, errors.New("proxy: no backend")
	}
	setDefaults(&cfg)
	s := &Server{
		cfg:       cfg,
		log:       cfg.Logger,
		listeners: make(map[net.Listener]struct{}),
		conns:     make(map[*conn]struct{}),
	}
	var err error
	if s.version, err = versionLine(cfg.Version); err != nil {
		return nil, err
	}
	if cfg.HostCA != nil {
		s.certs = &hostCerts{key: cfg.HostKeys[0], ca: cfg.HostCA, now: time.Now}
	}
	s.stop, s.stopNow = context.WithCancelCause(context.Background())
	s.ssh = s.newSSH()
	return s, nil
}

func setDefaults(cfg *Config) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Auditor == nil {
		cfg.Auditor = noAudit{}
	}
	if cfg.Env == nil {
		list := authz.DefaultEnvList()
		cfg.Env = &list
	}
	orDefault(&cfg.Version, "dev")
	orDefault(&cfg.LoginGrace, defaultLoginGrace)
	orDefault(&cfg.MaxStartups, defaultMaxStartups)
	orDefault(&cfg.MaxChannels, defaultMaxChannels)
	orDefault(&cfg.KeepAlive, defaultKeepAlive)
	orDefault(&cfg.KeepAlives, defaultKeepAlives)
}

func orDefault[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}

// connKey finds the conn in a gliderlabs context.
type connKey struct{}

// newSSH sets gliderlabs/ssh up as a listener and handshaker. It serves anybody when no handler for a way of authentication is set,
// whatever the configuration callback says; PublicKeyHandler is, so it asks for a key.
func (s *Server) newSSH() *ssh.Server {
	return &ssh.Server{
		HostSigners:          sshSigners(s.cfg.HostKeys),
		Version:              s.version[len("SSH-2.0-"):],
		ConnCallback:         s.accept,
		ServerConfigCallback: s.serverConfig,
		PublicKeyHandler: func(ctx ssh.Context, key ssh.PublicKey) bool {
			return connOf(ctx).offered(key)
		},
		ConnectionFailedCallback: func(nc net.Conn, err error) {
			s.log.Info("handshake failed", "remote", nc.RemoteAddr().String(), "err", err)
		},
		ChannelHandlers: map[string]ssh.ChannelHandler{
			"default": func(_ *ssh.Server, sc *gossh.ServerConn, nc gossh.NewChannel, ctx ssh.Context) {
				c := connOf(ctx)
				if c.establish(sc) {
					c.announceHostKeys(sc)
					c.serveChannel(nc)
				}
			},
		},
		RequestHandlers: map[string]ssh.RequestHandler{
			"default": func(ctx ssh.Context, _ *ssh.Server, req *gossh.Request) (bool, []byte) {
				c, own := connOf(ctx), *req
				req.WantReply = false // it is for us to answer, when its turn has come
				if c.establish(c.sshConn()) {
					c.globalRequest(&own)
				}
				return false, nil
			},
		},
	}
}

func sshSigners(keys []gossh.Signer) []ssh.Signer {
	signers := make([]ssh.Signer, len(keys))
	for i, k := range keys {
		signers[i] = k
	}
	return signers
}

func connOf(ctx ssh.Context) *conn { return ctx.Value(connKey{}).(*conn) }

// accept is called with each new connection, in its own goroutine. nil refuses it.
func (s *Server) accept(ctx ssh.Context, nc net.Conn) (accepted net.Conn) {
	c := newConn(s, nc)
	if !s.track(c) {
		return nil
	}
	if s.startups.enter() > s.cfg.MaxStartups {
		s.startups.leave()
		s.untrack(c)
		s.log.Warn("too many handshakes at once", "remote", nc.RemoteAddr().String())
		return nil
	}
	c.sshConn = func() *gossh.ServerConn {
		sc, _ := ctx.Value(ssh.ContextKeyConn).(*gossh.ServerConn)
		return sc
	}
	ctx.SetValue(connKey{}, c)
	c.begin(ctx)
	defer func() {
		if c.recovered(recover(), "handshake") || accepted == nil {
			accepted = nil
			c.cancel(nil)
		}
	}()
	if err := c.hello(); err != nil {
		c.log.Info("handshake failed", "err", err)
		return nil
	}
	return c.transport
}

// serverConfig is called for each connection after accept.
func (s *Server) serverConfig(ctx ssh.Context) *gossh.ServerConfig {
	c := connOf(ctx)
	return &gossh.ServerConfig{
		Config:                    algorithms(c.ciphers),
		PublicKeyAuthAlgorithms:   secure.PublicKeyAuths,
		MaxAuthTries:              maxAuthTries,
		PreAuthConnCallback:       func(meta gossh.ServerPreAuthConn) { c.meta = meta },
		VerifiedPublicKeyCallback: c.verified,
	}
}

// Serve accepts connections on l until Close or Shutdown, and returns ErrServerClosed then. It closes l.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		l.Close()
		return ErrServerClosed
	}
	s.listeners[l] = struct{}{}
	s.mu.Unlock()
	err := s.ssh.Serve(l)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
	if s.draining {
		return ErrServerClosed
	}
	return fmt.Errorf("accept: %w", err)
}

// Shutdown stops accepting connections and channels and waits for sessions and forwards to end until ctx is done. Those left are
// told so and closed; the error is ctx's then.
func (s *Server) Shutdown(ctx context.Context) error {
	s.drain()
	err := s.busy.wait(ctx)
	if err != nil {
		s.stopNow(errShutdown)
	}
	// Clients that have nothing left to do leave by themselves; those who do not read their last words go without.
	late, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	_ = s.running.wait(late)
	return errors.Join(err, s.Close())
}

// Close ends everything at once and waits until it has ended.
func (s *Server) Close() error {
	s.drain()
	s.stopNow(errShutdown)
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.close()
	}
	s.mu.Unlock()
	err := s.ssh.Close()
	if errors.Is(err, net.ErrClosed) { // drain was first
		err = nil
	}
	late, cancel := context.WithTimeout(context.Background(), 10*lastWords)
	defer cancel()
	if s.running.wait(late) != nil {
		s.log.Error("connections outlive the server", "count", s.running.count())
	}
	return err
}

// drain closes the listeners; channels are refused from now on.
func (s *Server) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	for l := range s.listeners {
		l.Close()
	}
}

func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// track remembers c until its end; false when the server is closed.
func (s *Server) track(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.draining {
		return false
	}
	s.conns[c] = struct{}{}
	s.running.enter()
	return true
}

func (s *Server) untrack(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.conns[c]; ok {
		delete(s.conns, c)
		s.running.leave()
	}
}
