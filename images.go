package fakessh

import (
	"context"
	"fmt"

	"fakessh/bootstrap"
	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

// sendImage gives via's agent the image for platform, so that it can start children there.
func (d *routerDialer) sendImage(ctx context.Context, via *router.Context, platform bootstrap.Platform) error {
	img, err := d.images.Lookup(platform)
	if err != nil {
		return err
	}
	r, err := img.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	d.log.Info("send image", "platform", string(platform), "to", via.Name())
	if err := session.PutImage(ctx, via, string(platform), img.Digest, img.Size, r); err != nil {
		return fmt.Errorf("send image for %s: %w", platform, err)
	}
	return nil
}
