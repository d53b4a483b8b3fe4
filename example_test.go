package fakessh_test

import (
	"context"
	"fmt"
	"os"

	"fakessh"
	"fakessh/bootstrap"
	"fakessh/bootstrap/agent/session"
)

func ExampleParseTarget() {
	target, err := fakessh.ParseTarget("web1+docker.app+su.postgres")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(target.Name)
	for _, hop := range target.Hops {
		fmt.Println(hop.Method, hop.Argument)
	}
	_, err = fakessh.ParseTarget("web1+docker.-rm")
	fmt.Println(err)
	// Output:
	// web1
	// docker app
	// su postgres
	// target "web1+docker.-rm": "docker.-rm": an argument does not begin with a dash
}

func ExampleTree_Connect() {
	self, err := os.Executable() // a program that serves as the agent's image (package role)
	if err != nil {
		fmt.Println(err)
		return
	}
	images, err := bootstrap.NewImages(nil, self)
	if err != nil {
		fmt.Println(err)
		return
	}
	tree, err := fakessh.NewTree(fakessh.Config{Images: images})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tree.Close()

	ctx := context.Background()
	lease, err := tree.Connect(ctx, fakessh.Dest{Target: fakessh.Target{Name: "local"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer lease.Release()

	client, err := session.Start(ctx, lease.Context(), &session.Spec{Kind: session.Argv, Args: []string{"echo", "hello"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	_, err = client.WriteTo(os.Stdout)
	if err != nil {
		fmt.Println(err)
	}
	// Output: hello
}

// The program finds an ssh that leads into the target; rsync, scp, sftp and git do the same of themselves.
func ExampleRun() {
	self, err := os.Executable() // a program that serves as shim and as the agent's image (package role)
	if err != nil {
		fmt.Println(err)
		return
	}
	images, err := bootstrap.NewImages(nil, self)
	if err != nil {
		fmt.Println(err)
		return
	}
	status, err := fakessh.Run(context.Background(), "local", []string{"ssh", "there", "echo from the target; exit 7"},
		fakessh.NoDaemon(), fakessh.UseConfig(fakessh.Config{Images: images}))
	fmt.Println(status, err)
	// Output:
	// from the target
	// 7 <nil>
}

func ExampleExits_Match() {
	exits, err := fakessh.NewExits(map[string]string{
		"*.corp.example.com":  "bastion",
		"10.0.0.0/8":          "bastion",
		"db.corp.example.com": "local",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(exits.Match("web.corp.example.com"), exits.Match("db.corp.example.com"), exits.Match("10.1.2.3"))
	// Output: bastion local bastion
}
