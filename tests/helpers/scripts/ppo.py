"""Proximal policy optimization in one file, in the manner of CleanRL: rollouts without gradients, two losses."""

import argparse

import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim
from torch.distributions.categorical import Categorical


class CartLike:
    """A pole that falls: state of four numbers, two actions."""

    def __init__(self, n, seed):
        self.rng, self.n = np.random.default_rng(seed), n
        self.state = self.rng.normal(0, 0.05, (n, 4))

    def step(self, action):
        force = np.where(action == 1, 1.0, -1.0)
        x, v, a, w = self.state.T
        acc = 9.8 * np.sin(a) - force * np.cos(a)
        self.state = np.stack([x + 0.02 * v, v + 0.02 * force, a + 0.02 * w, w + 0.02 * acc], 1)
        done = (np.abs(self.state[:, 2]) > 0.2) | (np.abs(self.state[:, 0]) > 2.4)
        self.state[done] = self.rng.normal(0, 0.05, (int(done.sum()), 4))
        return self.state.astype(np.float32), np.ones(self.n, np.float32), done


def layer_init(layer, std=np.sqrt(2), bias_const=0.0):
    torch.nn.init.orthogonal_(layer.weight, std)
    torch.nn.init.constant_(layer.bias, bias_const)
    return layer


class Agent(nn.Module):
    def __init__(self):
        super().__init__()
        self.critic = nn.Sequential(
            layer_init(nn.Linear(4, 64)),
            nn.Tanh(),
            layer_init(nn.Linear(64, 64)),
            nn.Tanh(),
            layer_init(nn.Linear(64, 1), std=1.0),
        )
        self.actor = nn.Sequential(
            layer_init(nn.Linear(4, 64)),
            nn.Tanh(),
            layer_init(nn.Linear(64, 64)),
            nn.Tanh(),
            layer_init(nn.Linear(64, 2), std=0.01),
        )

    def get_value(self, x):
        return self.critic(x)

    def get_action_and_value(self, x, action=None):
        logits = self.actor(x)
        probs = Categorical(logits=logits)
        if action is None:
            action = probs.sample()
        return action, probs.log_prob(action), probs.entropy(), self.critic(x)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--num-iterations", type=int, default=4)
    parser.add_argument("--num-steps", type=int, default=32)
    args = parser.parse_args()
    torch.manual_seed(1)
    envs, num_envs, gamma, lam = CartLike(8, 1), 8, 0.99, 0.95
    agent = Agent()
    optimizer = optim.Adam(agent.parameters(), lr=2.5e-4, eps=1e-5)
    next_obs, next_done = torch.tensor(envs.state, dtype=torch.float32), torch.zeros(num_envs)
    for iteration in range(1, args.num_iterations + 1):
        optimizer.param_groups[0]["lr"] = (1.0 - (iteration - 1.0) / args.num_iterations) * 2.5e-4
        obs, actions, logprobs, rewards, dones, values = [], [], [], [], [], []
        for _ in range(args.num_steps):
            with torch.no_grad():
                action, logprob, _, value = agent.get_action_and_value(next_obs)
            obs.append(next_obs), actions.append(action), logprobs.append(logprob)
            values.append(value.flatten()), dones.append(next_done)
            state, reward, done = envs.step(action.numpy())
            next_obs, next_done = torch.tensor(state), torch.tensor(done, dtype=torch.float32)
            rewards.append(torch.tensor(reward))
        obs, actions, logprobs, rewards, dones, values = map(
            torch.stack, (obs, actions, logprobs, rewards, dones, values)
        )
        with torch.no_grad():
            next_value = agent.get_value(next_obs).reshape(-1)
            advantages, last = torch.zeros_like(rewards), 0
            for t in reversed(range(args.num_steps)):
                alive = 1.0 - (next_done if t == args.num_steps - 1 else dones[t + 1])
                following = next_value if t == args.num_steps - 1 else values[t + 1]
                delta = rewards[t] + gamma * following * alive - values[t]
                advantages[t] = last = delta + gamma * lam * alive * last
            returns = advantages + values
        flat = [t.reshape((-1, *t.shape[2:])) for t in (obs, actions, logprobs, advantages, returns)]
        b_obs, b_actions, b_logprobs, b_advantages, b_returns = flat
        for _ in range(4):
            for mb in torch.randperm(len(b_obs)).split(64):
                _, newlogprob, entropy, newvalue = agent.get_action_and_value(b_obs[mb], b_actions[mb])
                ratio = (newlogprob - b_logprobs[mb]).exp()
                mb_adv = b_advantages[mb]
                mb_adv = (mb_adv - mb_adv.mean()) / (mb_adv.std() + 1e-8)
                pg_loss = torch.max(-mb_adv * ratio, -mb_adv * torch.clamp(ratio, 0.8, 1.2)).mean()
                v_loss = 0.5 * ((newvalue.view(-1) - b_returns[mb]) ** 2).mean()
                loss = pg_loss - 0.01 * entropy.mean() + v_loss * 0.5
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                optimizer.step()
        print(f"iteration {iteration} loss {loss.item():.4f}")
