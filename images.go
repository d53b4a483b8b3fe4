package fakessh

import (
	"context"
	"fmt"
	"os"

	"fakessh/bootstrap"
	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

// sendImage gives via's agent the image for platform, so that it can start children there.
func (d *routerDialer) sendImage(ctx context.Context, via *router.Context, platform bootstrap.Platform) error {
	path, err := d.images.Path(platform)
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	d.log.Info("send image", "platform", string(platform), "to", via.Name())
	if err := session.PutImage(ctx, via, string(platform), f); err != nil {
		return fmt.Errorf("send image for %s: %w", platform, err)
	}
	return nil
}
