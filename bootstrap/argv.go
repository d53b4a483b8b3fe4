package bootstrap

import (
	"errors"
	"strconv"
)

// Argv is the command to run at the far end: sh -c SCRIPT fakessh WORD…. No word has a single quote, an
// exclamation mark, a backslash or a newline, so that single quotes carry them through any login shell.
// local says that the stream is as fast as memory: the image is then sent uncompressed. It takes time only
// where an image's digest is not known yet (self, Add): once per image.
func Argv(im *Images, cfg Config, local bool) ([]string, error) {
	if len(cfg.ParentIDs) > maxParents {
		return nil, errors.New("bootstrap: more than " + strconv.Itoa(maxParents) + " parents")
	}
	how := "-"
	if local {
		how += "l"
	}
	if cfg.NoCache {
		how += "n"
	}
	if cfg.Verify {
		how += "v"
	}
	argv := append([]string{"sh", "-c", firstStage, "fakessh", how}, cfg.agentArgs()...)
	for _, p := range im.Platforms() {
		img, err := im.Lookup(p)
		if err != nil {
			return nil, err
		}
		size := strconv.FormatInt(img.Size, 10)
		argv = append(argv, string(p)+":"+img.Digest+":"+strconv.FormatInt(img.zipped, 10)+":"+size)
	}
	if len(argv) == 9 {
		return nil, errors.New("bootstrap: no images")
	}
	return argv, nil
}

// AgentArgv is the argv with which the first stage would execute the image, for a caller that has the image as a file
// and executes it itself (Options.Direct).
func AgentArgv(cfg Config) []string {
	return append([]string{"fakessh", "agent"}, cfg.agentArgs()...)
}
