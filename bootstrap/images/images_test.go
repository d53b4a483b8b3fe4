package images

import (
	"io"
	"testing"

	"fakessh/bootstrap"
)

// What the build has embedded, if anything, has to be what its index says.
func TestImagesAreWhole(t *testing.T) {
	im, err := bootstrap.NewImages(FS(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range im.Platforms() {
		img, err := im.Lookup(p)
		if err != nil {
			t.Fatal(err)
		}
		r, err := img.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		n, err := io.Copy(io.Discard, r)
		if err != nil || n != img.Size {
			t.Errorf("%s: %d bytes of %d: %v", p, n, img.Size, err)
		}
	}
}
