package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"fakessh"
	"fakessh/authz"
	"fakessh/proxy"
	"fakessh/router"
)

func serveCommand(opt *options, std stdio) *cobra.Command {
	var level slog.Level
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "the gateway: accept SSH and run sessions in the tree",
		Long: `serve accepts SSH connections until it gets SIGINT or SIGTERM; at SIGHUP it reads its configuration again. Host key and host CA are made in the state directory on first start.
Without a configuration file it serves the user who started it, on 127.0.0.1:2222, with the target local.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(opt.config)
			if err != nil {
				return err
			}
			log := slog.New(slog.NewTextHandler(std.err, &slog.HandlerOptions{Level: level}))
			d, err := newDaemon(cfg, log)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return withBallast(func() error { return d.serve(ctx, std) })
		},
	}
	cmd.Flags().TextVar(&level, "log-level", slog.LevelInfo, "debug, info, warn or error")
	return cmd
}

// daemon is the gateway's parts, put together. They are closed in the order of its close method.
type daemon struct {
	cfg       *config
	log       *slog.Logger
	users     *authz.Directory
	audit     *authz.Log
	decider   *authz.Decider
	tree      *fakessh.Tree
	backend   *proxy.TreeBackend
	proxy     *proxy.Server
	control   *controlServer
	listeners []net.Listener
	strangers router.Quota // of records about local accounts that are nobody
}

func newDaemon(cfg *config, log *slog.Logger) (d *daemon, err error) {
	d = &daemon{cfg: cfg, log: log, strangers: router.Quota{Burst: 100, PerSecond: 1}}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	p, err := cfg.parts()
	if err != nil {
		return nil, err
	}
	d.unusable(p.users)
	d.users = authz.NewDirectory(p.users)
	keys, err := proxy.LoadHostKeys(cfg.StateDir)
	if err != nil {
		return nil, err
	}
	if d.audit, err = authz.OpenLog(filepath.Join(cfg.StateDir, "audit.log")); err != nil {
		return nil, err
	}
	d.decider = authz.NewDecider(p.policy, d.audit)
	im, err := loadImages()
	if err != nil {
		return nil, err
	}
	if d.tree, err = newTree(cfg, im, log); err != nil {
		return nil, err
	}
	d.backend = proxy.NewTreeBackend(d.tree, p.exits)
	if d.proxy, err = proxy.New(d.proxyConfig(keys)); err != nil {
		return nil, err
	}
	if err := d.listen(); err != nil {
		return nil, err
	}
	d.control, err = d.listenControl()
	return d, err
}

func (d *daemon) proxyConfig(keys *proxy.HostKeys) proxy.Config {
	return proxy.Config{
		HostKeys:   hostSigners(keys),
		HostCA:     keys.CA,
		Auth:       d.users,
		Decider:    d.decider,
		Auditor:    auditEvents{d.audit, d.log},
		Backend:    d.backend,
		Version:    version(),
		Logger:     d.log,
		LoginGrace: d.cfg.LoginGrace,
		KeepAlive:  never(d.cfg.Keepalive),
		AnyCipher:  !d.cfg.PreferGCM,
		Env:        d.cfg.envList(),
	}
}

// listen opens every address before anything is served: all or nothing.
func (d *daemon) listen() error {
	for _, addr := range d.cfg.Listen {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return fmt.Errorf("listen on %s: %w", addr, err)
		}
		d.listeners = append(d.listeners, l)
	}
	return nil
}

// serve runs until ctx is done, then stops in order: no new connections; sessions have cfg.Drain to end and are then told and
// ended; contexts; logs.
func (d *daemon) serve(ctx context.Context, std stdio) error {
	defer d.close()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	var wg sync.WaitGroup
	for _, l := range d.listeners {
		wg.Go(func() { // ends with Shutdown
			if err := d.proxy.Serve(l); !errors.Is(err, proxy.ErrServerClosed) {
				stop(fmt.Errorf("serve %s: %w", l.Addr(), err))
			}
		})
		fmt.Fprintf(std.err, "fakesshd: listening on %s\n", l.Addr())
	}
	wg.Go(func() { // ends with Shutdown
		if err := d.control.serve(); !errors.Is(err, fakessh.ErrControlClosed) {
			d.log.Error("control socket", "err", err) // SSH goes on
		}
	})
	wg.Go(func() { trimMemory(ctx) })
	d.attend(ctx, hangups)
	d.log.Info("stopping")
	grace, cancel := context.WithTimeout(context.Background(), d.cfg.Drain)
	defer cancel()
	wg.Go(func() { d.control.Shutdown(grace) })
	if err := d.proxy.Shutdown(grace); err != nil {
		d.log.Warn("sessions were ended", "cause", err)
	}
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// attend reloads the configuration at every hangup, until ctx is done.
func (d *daemon) attend(ctx context.Context, hangups <-chan os.Signal) {
	for {
		select {
		case <-hangups:
			if err := d.reload(); err != nil {
				d.log.Error("configuration not reloaded, the old one stays in force", "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// close ends what is left. It is safe for a daemon that was never finished.
func (d *daemon) close() {
	if d.proxy != nil {
		d.proxy.Close()
	}
	for _, l := range d.listeners {
		l.Close()
	}
	if d.control != nil {
		d.control.Close()
	}
	if d.tree != nil {
		d.tree.Close()
	}
	if d.audit != nil {
		d.audit.Close()
	}
}
