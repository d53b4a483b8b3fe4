package methods

import "errors"

// dockerMethod enters a running container, or runs an image for as long as the context lives.
var dockerMethod = &Method{
	Name:  "docker",
	Help:  "a running container, or a new one of an image, by docker exec or docker run --rm",
	Short: "container",
	Params: []Param{
		{Name: "container", Kind: KindString, Operand: true, Help: "name or id of a running container"},
		{Name: "image", Kind: KindString, Operand: true, Help: "image to run instead; the container is removed with the context"},
		{Name: "username", Kind: KindString, Operand: true, Help: "account inside; default: the container's own"},
		{Name: "docker_path", Kind: KindString, Default: "docker", Help: "the docker program"},
	},
	local:   true,
	relayed: true,
	name: func(v values) string {
		if c := v.text("container"); c != "" {
			return c
		}
		return v.text("image")
	},
	argv: dockerArgv,
}

func dockerArgv(v values, boot []string) ([]string, error) {
	argv := []string{v.text("docker_path")}
	var user []string
	if u := v.text("username"); u != "" {
		user = []string{"--user=" + u}
	}
	container, image := v.text("container"), v.text("image")
	switch {
	case container != "":
		argv = append(argv, "exec", "--interactive")
		argv = append(append(argv, user...), container)
	case image != "":
		argv = append(argv, "run", "--interactive")
		argv = append(append(argv, user...), "--rm", image)
	default:
		return nil, errors.New("docker: container or image is required")
	}
	return append(argv, boot...), nil
}
