"""Segmentation with a small U-Net, in the manner of well-known ones: mixed precision, accumulation, a schedule."""

import argparse
import logging

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset


class Shapes(Dataset):
    """Discs on noise, with their masks."""

    def __init__(self, n, size=32):
        self.n, self.size = n, size

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        g = torch.Generator().manual_seed(i)
        y, x = torch.meshgrid(torch.arange(self.size), torch.arange(self.size), indexing="ij")
        cx, cy, r = torch.randint(8, self.size - 8, (2,), generator=g).tolist() + [4 + i % 5]
        mask = ((x - cx) ** 2 + (y - cy) ** 2 < r * r).long()
        image = mask[None].float() * 0.8 + torch.randn(3, self.size, self.size, generator=g) * 0.3
        return {"image": image, "mask": mask}


class DoubleConv(nn.Sequential):
    def __init__(self, i, o):
        super().__init__(
            nn.Conv2d(i, o, 3, padding=1, bias=False),
            nn.BatchNorm2d(o),
            nn.ReLU(inplace=True),
            nn.Conv2d(o, o, 3, padding=1, bias=False),
            nn.BatchNorm2d(o),
            nn.ReLU(inplace=True),
        )


class UNet(nn.Module):
    def __init__(self, n_channels, n_classes, w=8):
        super().__init__()
        self.n_classes = n_classes
        self.inc, self.down1, self.down2 = DoubleConv(n_channels, w), DoubleConv(w, 2 * w), DoubleConv(2 * w, 4 * w)
        self.up1, self.conv1 = nn.ConvTranspose2d(4 * w, 2 * w, 2, 2), DoubleConv(4 * w, 2 * w)
        self.up2, self.conv2 = nn.ConvTranspose2d(2 * w, w, 2, 2), DoubleConv(2 * w, w)
        self.outc = nn.Conv2d(w, n_classes, 1)

    def forward(self, x):
        x1 = self.inc(x)
        x2 = self.down1(F.max_pool2d(x1, 2))
        x3 = self.down2(F.max_pool2d(x2, 2))
        x = self.conv1(torch.cat([x2, self.up1(x3)], dim=1))
        return self.outc(self.conv2(torch.cat([x1, self.up2(x)], dim=1)))


def dice_loss(input, target, epsilon=1e-6):
    inter = 2 * (input * target).sum(dim=(-1, -2))
    sets = input.sum(dim=(-1, -2)) + target.sum(dim=(-1, -2))
    return 1 - ((inter + epsilon) / (sets + epsilon)).mean()


@torch.inference_mode()
def evaluate(net, loader):
    net.eval()
    score = sum(1 - dice_loss(net(b["image"]).softmax(1)[:, 1], b["mask"].float()).item() for b in loader)
    net.train()
    return score / len(loader)


def train_model(model, epochs, batch_size, amp, accumulate, learning_rate=1e-3):
    loader = DataLoader(Shapes(64), batch_size=batch_size, shuffle=True, drop_last=True)
    val = DataLoader(Shapes(16), batch_size=batch_size)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=learning_rate, weight_decay=1e-8, momentum=0.9, foreach=True)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", patience=5)
    grad_scaler = torch.amp.GradScaler("cpu", enabled=amp)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(1, epochs + 1):
        model.train()
        for step, batch in enumerate(loader):
            images, true_masks = batch["image"], batch["mask"]
            with torch.autocast("cpu", enabled=amp, dtype=torch.bfloat16):
                masks_pred = model(images)
                loss = criterion(masks_pred, true_masks)
                one_hot = F.one_hot(true_masks, model.n_classes).permute(0, 3, 1, 2).float()
                loss += dice_loss(F.softmax(masks_pred, dim=1).float(), one_hot)
            grad_scaler.scale(loss / accumulate).backward()
            if (step + 1) % accumulate == 0:
                grad_scaler.unscale_(optimizer)
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                grad_scaler.step(optimizer)
                grad_scaler.update()
                optimizer.zero_grad(set_to_none=True)
        score = evaluate(model, val)
        scheduler.step(score)
        logging.info("epoch %d loss %.4f dice %.3f", epoch, loss.item(), score)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train the UNet on images and target masks")
    parser.add_argument("--epochs", "-e", type=int, default=2)
    parser.add_argument("--batch-size", "-b", type=int, default=8)
    parser.add_argument("--amp", action="store_true")
    parser.add_argument("--accumulate", type=int, default=2)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    torch.manual_seed(0)
    train_model(UNet(3, 2), args.epochs, args.batch_size, args.amp, args.accumulate)
