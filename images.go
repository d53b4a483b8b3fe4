package fakessh

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"fakessh/bootstrap"
	"fakessh/bootstrap/agent/session"
	"fakessh/router"
)

// sendImage gives via's agent the image for platform, so that it can start children there.
func (d *routerDialer) sendImage(ctx context.Context, via *router.Context, platform bootstrap.Platform) error {
	image, err := d.readImage(platform)
	if err != nil {
		return err
	}
	d.log.Info("send image", "platform", string(platform), "to", via.Name())
	if err := session.PutImage(ctx, via, string(platform), bytes.NewReader(image)); err != nil {
		return fmt.Errorf("send image for %s: %w", platform, err)
	}
	return nil
}

// readImage reads the executable for platform, a few megabytes, which PutImage reads twice.
func (d *routerDialer) readImage(platform bootstrap.Platform) ([]byte, error) {
	img, err := d.images.Lookup(platform)
	if err != nil {
		return nil, err
	}
	r, err := img.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
